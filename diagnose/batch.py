"""The batch that one optimizer step sees, as far as the config tells."""

from __future__ import annotations

from diagnose.run import Run

MICRO_BATCHES = ("accumulation_steps", "gradient_accumulation_steps", "accumulate_grad_batches")


def effective_batch(run: Run) -> float | None:
    """Samples of one step: the config's batch size times its micro-batches (K10); None where it tells none."""
    batch = run.setup.config_number("batch_size")
    if batch is None or batch <= 0:
        return None
    told = (run.setup.config_number(name) for name in MICRO_BATCHES)
    return batch * next((count for count in told if count is not None and count >= 1), 1.0)
