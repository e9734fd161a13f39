"""What follows among the things that regularise, and from a longer training."""

from __future__ import annotations

from diagnose.diagnosis import Setting
from diagnose.facts import is_strong_augmentation
from diagnose.prescriptions import scaling
from diagnose.prescriptions.coupling import ratio
from diagnose.prescriptions.settings import Settings

MUCH_LONGER = 2.5  # times: more than what other couplings ask for, rounded to whole epochs
MUCH_SMOOTHING = 0.1  # ε: the usual value, above which logits lie clearly closer (K48)
BEST_CHECKPOINT = "best checkpoint"


def early_stopping_for_epochs(before: Settings, after: Settings) -> Setting:
    """The best checkpoint, where the training gets much longer."""
    return _early_stopping(ratio("epochs", before, after), before)


def early_stopping_for_steps(before: Settings, after: Settings) -> Setting:
    """The best checkpoint, where the training gets much longer."""
    return _early_stopping(ratio("steps", before, after), before)


def _early_stopping(moved: float | None, before: Settings) -> Setting:
    told = before.values.get("early_stopping")
    return BEST_CHECKPOINT if moved and moved > MUCH_LONGER and not told else None


def dropout_for_augmentation(before: Settings, after: Settings) -> Setting:
    """Less of it under strong augmentation."""
    return _cut("dropout", before, scaling.LESS_REGULARIZATION) if _turns_strong(before, after) else None


def weight_decay_for_augmentation(before: Settings, after: Settings) -> Setting:
    """Less of it under strong augmentation."""
    return _cut("weight_decay", before, scaling.LESS_REGULARIZATION) if _turns_strong(before, after) else None


def epochs_for_augmentation(before: Settings, after: Settings) -> Setting:
    """More of them under strong augmentation."""
    told = before.number("epochs")
    return told * scaling.LONGER_UNDER_AUGMENTATION if told and _turns_strong(before, after) else None


def dropout_for_batchnorm(before: Settings, after: Settings) -> Setting:
    """Less of it where BatchNorm comes in."""
    added = after.batchnorm and not before.batchnorm
    return _cut("dropout", before, scaling.LESS_REGULARIZATION) if added else None


def dropout_for_smoothing(before: Settings, after: Settings) -> Setting:
    """A little less of it under smoothed labels."""
    return _cut("dropout", before, scaling.LITTLE_LESS) if _smooths_more(before, after) else None


def weight_decay_for_smoothing(before: Settings, after: Settings) -> Setting:
    """A little less of it under smoothed labels."""
    return _cut("weight_decay", before, scaling.LITTLE_LESS) if _smooths_more(before, after) else None


def temperature(before: Settings, after: Settings) -> Setting:
    """A new fit, after much smoothing."""
    much = (after.number("label_smoothing") or 0.0) >= MUCH_SMOOTHING
    return "fit again on validation logits" if much and _smooths_more(before, after) else None


def _turns_strong(before: Settings, after: Settings) -> bool:
    return is_strong_augmentation(after.word("augmentation")) and not is_strong_augmentation(
        before.word("augmentation")
    )


def _smooths_more(before: Settings, after: Settings) -> bool:
    return (after.number("label_smoothing") or 0.0) > (before.number("label_smoothing") or 0.0)


def _cut(name: str, before: Settings, factor: float) -> Setting:
    told = before.number(name)
    return told * factor if told else None
