"""Hugging Face Transformers. Run: python docs/examples/transformers_trainer.py"""

from __future__ import annotations

import sys
import tempfile

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import diagnose
from diagnose.hooks.integrations.transformers import DiagnoseCallback

WORDS, LENGTH = 50, 16


class Sentences(Dataset[dict[str, Tensor]]):
    """Each word follows from the one before it."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        words = (index + 3 * torch.arange(LENGTH)) % WORDS
        return {"input_ids": words, "labels": words.clone()}


model = GPT2LMHeadModel(
    GPT2Config(vocab_size=WORDS, n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
)
arguments = TrainingArguments(
    tempfile.mkdtemp(), per_device_train_batch_size=16, num_train_epochs=5, learning_rate=3e-3, eval_strategy="epoch",
    report_to=[], save_strategy="no", use_cpu=True,
)  # fmt: skip
watching = DiagnoseCallback(run_dir=sys.argv[1] if sys.argv[1:] else "runs/transformers", halt_on=["nan_loss"])
trainer = Trainer(model, arguments, train_dataset=Sentences(), eval_dataset=Sentences(), callbacks=[watching])
trainer.train()

print(diagnose.examine(watching.run_dir).to_markdown())
