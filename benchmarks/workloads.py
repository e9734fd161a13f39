"""The trainings that the overhead is measured on: an MLP, a convolutional net and a small GPT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Workload:
    """One training: `step()` takes one optimizer step on a fixed batch."""

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    criterion: nn.Module
    batch: tuple[Tensor, Tensor]

    def step(self) -> None:
        inputs, targets = self.batch
        self.optimizer.zero_grad()
        output = self.model(inputs)
        self.criterion(output.flatten(0, -2), targets.flatten()).backward()
        self.optimizer.step()


class Block(nn.Module):
    """A pre-norm Transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """A decoder-only language model without dropout."""

    def __init__(self, vocabulary: int, length: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1], device=x.device)
        return self.head(self.norm(self.blocks(self.tokens(x) + self.positions(positions))))


def mlp(batch: int = 128) -> Workload:
    """784-512-512-10 with SGD: about 4 ms a step at batch 128 on one core."""
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    data = (torch.randn(batch, 784), torch.randint(10, (batch,)))
    return Workload("mlp", model, optimizer, nn.CrossEntropyLoss(), data)


def conv() -> Workload:
    """3c3d of DeepOBS on 32×32 images with SGD at batch 128."""
    model = nn.Sequential(
        nn.Conv2d(3, 64, 5), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(64, 96, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(96, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Flatten(), nn.Linear(1152, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    batch = (torch.randn(128, 3, 32, 32), torch.randint(10, (128,)))
    return Workload("conv", model, optimizer, nn.CrossEntropyLoss(), batch)


def gpt() -> Workload:
    """4 layers of width 128, 64 tokens, batch 16, AdamW: about 64 ms a step on one core."""
    model = GPT(vocabulary=256, length=64, width=128, depth=4, heads=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(256, (16, 65))
    return Workload("gpt", model, optimizer, nn.CrossEntropyLoss(), (tokens[:, :-1], tokens[:, 1:]))


WORKLOADS: dict[str, Callable[[], Workload]] = {"mlp": mlp, "conv": conv, "gpt": gpt}
