"""What a person has to mend in data or code: no number can do it."""

from __future__ import annotations

from collections.abc import Sequence

from diagnose.prescriptions.dose import Dose, Found
from diagnose.run import Run


def inspect_data(_: Run, found: Found) -> Dose:
    """Where to look."""
    ill = found.get("nan_loss") or found.get("divergence")
    place = f"the batches just before step {ill.window[0]}" if ill else "the batches around the trouble"
    because = "A single broken batch explains a sudden break as well as any setting does."
    return Dose("data", None, f"check {place}", because)


def register_parameters(_: Run, found: Found) -> Dose | None:
    """Which layers the optimizer misses."""
    frozen = found.get("frozen_parameters")
    if frozen is None or frozen.evidence.get("gradient_arrives") == "no":
        return None
    return Dose("optimizer", None, f"add {_shown(frozen.layers)}", "Only what the optimizer holds is ever moved.")


def unfreeze(_: Run, found: Found) -> Dose | None:
    """Which layers no gradient reaches."""
    frozen = found.get("frozen_parameters")
    if frozen is None or frozen.evidence.get("gradient_arrives") == "yes":
        return None
    what = f"find what cuts {_shown(frozen.layers)} off: detach, no_grad, .data, or an output that is not used"
    return Dose("graph", None, what, "No gradient arrives there, so nothing is learned there.")


def shuffle_data(_: Run, __: Found) -> Dose:
    """In every epoch."""
    return Dose("shuffle", None, True, "Each batch should be a fair sample of all the data.")  # noqa: FBT003


def fix_labels(_: Run, __: Found) -> Dose:
    """By looking at them."""
    because = "What no person sees in them, no model learns."
    return Dose("labels", None, "look at twenty pairs of input and label", because)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
