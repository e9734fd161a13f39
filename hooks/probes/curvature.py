"""Curvature: the trace and the largest eigenvalue of the loss's Hessian, from one short Lanczos chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigvalsh_tridiagonal
from torch import Tensor, nn

from diagnose.hooks.collectives import UnavailableError
from diagnose.hooks.objective import Loss, Objective
from diagnose.hooks.replay import beside_training, obstacle
from diagnose.hooks.stream import Channel, Signals, Stream

STEPS = 10  # of the Lanczos chain; sharp outliers of a network's spectrum converge within them
FINITE_STEP = 1e-3  # of the weights' norm: balances the third derivative against float32's rounding
VANISHED = 1e-5  # a residual of this share of the matrix: the chain has seen all there is
COPIES = 8  # of the weights that a look holds at its peak, its graph included

ERROR_NODE = "torch::autograd::Error"  # what @once_differentiable puts behind a gradient

Product = Callable[[Tensor], Tensor]


class CurvatureProbe:
    """Hessian-vector products of the loss on an eighth of the batch, right after the optimizer's step.

    The chain starts at a Rademacher vector z: its first coefficient is Hutchinson's estimate zᵀHz of the
    trace, unbiased with standard deviation √2·‖H − diag(H)‖_F; the largest eigenvalue of its tridiagonal
    matrix approaches λ_max from below (Golub & Meurant 1994; Ghorbani et al. 2019). Products come from
    double backward, or from central differences of gradients where a kernel has none.
    """

    def __init__(self, model: nn.Module, stream: Stream, lr: Callable[[], Tensor | float]) -> None:
        self.objective = Objective(model)
        self._model = model
        self._stream = stream
        self._lr = lr
        self._channel = Channel("curvature", 2 * STEPS + 2, _decoded)
        self._generator: torch.Generator | None = None
        self._double_backward = True

    def measure(self, step: int) -> None:
        """Write one chain at the weights as they are now; nothing where this step's loss is not to be had.

        Raises `UnavailableError` where the model or its criterion must not be run again.
        """
        modules = self._model, *self.objective.criteria
        for reason in filter(None, map(obstacle, modules)):
            raise UnavailableError(f"{reason}, which would run once more with the model")
        trained = ((name, p) for name, p in self._model.named_parameters() if p.requires_grad)
        weights = {name: parameter.detach() for name, parameter in trained}
        if not weights or not _fits(weights, self._model):
            return
        with torch.enable_grad(), beside_training(*modules) as replay:
            loss = self.objective.loss(replay)
            if loss is None:
                return
            alphas, betas = self._chain(loss, weights)
        size = sum(weight.numel() for weight in weights.values())
        row = self._stream.row(step, self._channel).zero_()
        row[: len(alphas)] = alphas
        row[STEPS : STEPS + len(betas)] = betas
        row[-2].fill_(size)
        lr = self._lr()
        row[-1].fill_(lr.reshape(()) if isinstance(lr, Tensor) else lr)  # assigning a number would wait for the device

    def _chain(self, loss: Loss, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        start = self._rademacher(list(weights.values()))
        if self._double_backward:
            try:
                return lanczos(by_double_backward(loss, weights), start, STEPS)
            except (RuntimeError, NotImplementedError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                self._double_backward = False
        if any(weight.dtype in {torch.float16, torch.bfloat16} for weight in weights.values()):
            raise UnavailableError("differences of gradients say nothing in half precision")
        return lanczos(by_differences(loss, weights), start, STEPS)

    def _rademacher(self, weights: Sequence[Tensor]) -> Tensor:
        """Random signs, from a generator of our own, of the weights' total size in float32."""
        device = weights[0].device
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(0)
        size = sum(weight.numel() for weight in weights)
        # Bits of whole bytes: drawing every sign by itself takes ten times as long on the CPU.
        octets = torch.randint(256, (-(-size // 8), 1), dtype=torch.uint8, device=device, generator=self._generator)
        bits = (octets >> torch.arange(8, dtype=torch.uint8, device=device)) & 1
        return bits.flatten()[:size].float().mul_(2).sub_(1)


def by_double_backward(loss: Loss, weights: Mapping[str, Tensor]) -> Product:
    """V ↦ Hv by differentiating gᵀv; the graph of the gradient g is built once.

    Raises `RuntimeError` where a function of the user's own can be differentiated once only: what lies behind it would
    count as 0.
    """
    # Copies: a layer may write into its own weights, as an embedding with a greatest norm does.
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    inputs = list(leaves.values())
    gradients = torch.autograd.grad(loss(leaves), inputs, create_graph=True, materialize_grads=True)
    if _breaks_off(gradients):
        raise RuntimeError("a function in the model is marked as once_differentiable")

    def product(vector: Tensor) -> Tensor:
        curved = [(g, part) for g, part in zip(gradients, _parts(vector, inputs), strict=True) if g.requires_grad]
        if not curved:
            return torch.zeros_like(vector)
        outputs, directions = zip(*curved, strict=True)
        return _flat(torch.autograd.grad(outputs, inputs, directions, retain_graph=True, materialize_grads=True))

    return product


def _breaks_off(tensors: Sequence[Tensor]) -> bool:
    """Whether their graph has one of torch's error nodes, which lead nowhere and so are never run, and never raise."""
    met: set[Any] = set()
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node is None or node in met:
            continue
        if node.name() == ERROR_NODE:
            return True
        met.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False


def by_differences(loss: Loss, weights: Mapping[str, Tensor]) -> Product:
    """V ↦ (g(θ + εv) − g(θ − εv)) / 2ε, with ε = FINITE_STEP · (1 + ‖θ‖) / ‖v‖."""
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(weights.values()))))

    def gradient(vector: Tensor, step: Tensor) -> Tensor:
        parts = _parts(vector * step, list(weights.values()))
        moved = {n: (w + part).requires_grad_() for (n, w), part in zip(weights.items(), parts, strict=True)}
        return _flat(torch.autograd.grad(loss(moved), list(moved.values()), materialize_grads=True))

    def product(vector: Tensor) -> Tensor:
        step = FINITE_STEP * (1 + total) / torch.linalg.vector_norm(vector)
        return gradient(vector, step).sub_(gradient(vector, -step)).div_(2 * step)

    return product


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The diagonal and the off-diagonal of the Lanczos matrix, of shapes (steps,) and (steps - 1,).

    Nothing here waits for the device: where the chain ends early, what follows is left for the reader to
    cut off. `steps` is at most the length of `start`.
    """
    vector, previous = start / torch.linalg.vector_norm(start), torch.zeros_like(start)
    alphas: list[Tensor] = []
    betas = [torch.zeros((), device=start.device)]
    for _ in range(min(steps, len(start))):
        image = product(vector).sub_(previous * betas[-1])
        alphas.append(torch.dot(image, vector))
        image.sub_(vector * alphas[-1])
        betas.append(torch.linalg.vector_norm(image))
        previous, vector = vector, image / betas[-1]
    return torch.stack(alphas), torch.stack(betas[1:-1]) if len(alphas) > 1 else start.new_zeros(0)


def _decoded(rows: NDArray[np.float32]) -> Signals:
    """`hessian_trace`, `sharpness` and `lr_sharpness` = η·λ_max, η being the first group's rate, where it has one."""
    values = [spectrum(row.astype(np.float64)) for row in rows]
    trace, sharpness = (np.array(column) for column in zip(*values, strict=True))
    rates = rows[:, -1]
    stability = np.ma.masked_array(rates * sharpness, np.isnan(rates))  # some optimizers find their rates themselves
    return {"hessian_trace": trace, "sharpness": sharpness, "lr_sharpness": stability}


def spectrum(row: NDArray[np.float64]) -> tuple[float, float]:
    """Trace and largest eigenvalue, from the chain up to where it ended or broke; NaN where it never began."""
    size = int(row[-2])
    alphas, betas = row[:STEPS][:size], row[STEPS : 2 * STEPS - 1][: max(size - 1, 0)]
    if not np.isfinite(alphas[0]):
        return np.nan, np.nan
    scale = max(np.abs(alphas[0]), np.abs(betas).max(initial=0.0, where=np.isfinite(betas)))
    goes_on = np.isfinite(alphas[1:]) & np.isfinite(betas) & (betas > VANISHED * scale)
    length = 1 + int(np.argmin(np.append(goes_on, False)))
    return size * float(alphas[0]), float(eigvalsh_tridiagonal(alphas[:length], betas[: length - 1])[-1])


def _fits(weights: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether a look stays below the memory that training itself has had in use; always so on the CPU."""
    first = next(iter(weights.values()))
    if first.device.type != "cuda":
        return True
    constants = (p for p in (*model.parameters(), *model.buffers()) if not p.requires_grad)
    needed = COPIES * _size(weights.values()) + _size(constants)
    return torch.cuda.max_memory_allocated(first.device) - torch.cuda.memory_allocated(first.device) >= needed


def _size(tensors: Iterable[Tensor]) -> int:
    """In bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers in a row, of sparse gradients too."""
    return torch.cat([tensor.to_dense().reshape(-1) for tensor in tensors]).float()


def _parts(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The flat vector's parts in the shapes and types of `like`."""
    pieces = torch.split(vector, [tensor.numel() for tensor in like])
    return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, like, strict=True)]
