"""Rules about gradient clipping."""

from __future__ import annotations

import re
from typing import Final

from diagnose.facts import says_yes
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED

__all__ = ["recurrent_without_clipping"]

RECURRENT: Final = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
LIMITS: Final = ("max_norm", "max_grad_norm", "gradient_clip_val", "grad_clip", "clip_grad", "clip_grad_norm")
FEW = 20  # steps: who clips has done so by then
HEARD_SINCE = (2, 6)  # torch: earlier ones clip without our hearing of it


def recurrent_without_clipping(run: Run) -> Finding | None:
    """Recurrent network without clipping: an RNN, GRU or LSTM, and nothing bounds its gradients.

    The same weights are multiplied with themselves at every time step, so that gradients explode now and
    then; deep convolutions and Transformers lean on normalisation first. Told where the config switches
    clipping off, or where training ran and torch's clipping was never called.
    Source: K26 (interdependencies §7).
    """
    used = [name for name in RECURRENT if run.setup.modules.get(name)]
    if not used or run.scalar(GRAD_NORM_UNCLIPPED) is not None:
        return None
    told = [run.setup.config[name] for name in LIMITS if name in run.setup.config]
    if any(map(says_yes, told)) or not (told or _would_have_been_heard(run)):
        return None
    return breach(
        "recurrent_without_clipping",
        run,
        f"{used[0]} without gradient clipping: recurrent networks need it.",
        confidence=0.9 if told else 0.7,
        module=used[0],
    )


def _would_have_been_heard(run: Run) -> bool:
    norms, version = run.scalar(GRAD_NORM), re.match(r"(\d{1,4})\.(\d{1,4})", str(run.setup.environment.get("torch")))
    if norms is None or norms.steps[-1] - run.start < FEW or version is None:
        return False
    return (int(version[1]), int(version[2])) >= HEARD_SINCE
