"""Values that break what was not thought through: numbers at the ends of their kind, and texts that mean something."""

from __future__ import annotations

from typing import Final

INTEGERS: Final = (0, 1, -1, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**32, 10**9)
FLOATS: Final = (0.0, -0.0, 1e-320, 1e308, -1e308, 3.4e38, float("nan"), float("inf"), float("-inf"), 1e-9)
TEXTS: Final = (
    "", "a" * 5000, "loss/train", "loss", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m", "\x00", "../../etc/passwd",
    "größe ☃ 𝒙", "\ud800", "\u202eright to left", "% s %d {0} {loss}", "diagnose/setup", "diagnose/closed", "layers/x",
    "train/loss", "NaN", "1e999", "=1+1", "\r\n", "loss/validation", "hparams", "'; DROP TABLE runs; --",
)  # fmt: skip
SETUPS: Final = (
    '{"schema": 1}', '{"schema": 1, "config": []}', '{"schema": "1", "layers": {}}', "[" * 3000, "null", "{}",
    '{"schema": 1, "layers": [{"name": 1, "type": null, "parameters": "many"}]}',
    '{"schema": 1, "optimizer": {"groups": [null, {"lr": "0.1"}, {"lr": NaN}]}, "model": 3}',
    '{"schema": 1, "config": {"batch_size": -1, "epochs": 1e400, "lr": {"a": [1]}, "steps": 9' + "9" * 400 + "}}",
    '{"schema": 1, "config": {"batch_size": 0, "dataset_size": 0, "num_classes": 0, "epochs": 0, "steps": 0}}',
    '{"schema": 1, "config": {"batch_size": 1e-320, "epochs": Infinity, "accumulation": 0, "task": 7}}',
    '{"schema": 1, "scheduler": {"type": "OneCycleLR", "T_max": 0, "total_steps": 0, "step_size": 0, "milestones": 3}}',
    '{"schema": 1, "optimizer": {"type": "AdamW", "groups": [{"lr": 0, "betas": "no", "weight_decay": -1}]}}',
)  # fmt: skip
