"""What a classifier reaches without learning anything, and how far a run is from it."""

from __future__ import annotations

import re
from math import log

import numpy as np

from diagnose import curves
from diagnose.run import Run, Series
from diagnose.signals import TRAIN_LOSS

TRAIN_ACCURACY, VALIDATION_ACCURACY = "accuracy/train", "accuracy/validation"
PERCENT = 1.5  # an accuracy above this is one in per cent
# Tasks whose next word cannot be known: even a perfect model keeps the loss of the language's entropy (Shannon 1951).
OPEN_ENDED = frozenset({"language", "lm", "translation", "summarization", "generation", "text"})
POOR = 0.4  # chance-corrected agreement up to which it is no better than “fair” (Landis & Koch 1977)


def classes(run: Run) -> int | None:
    """The number of classes that the config names, None where it names none or fewer than two."""
    number = run.setup.config_number("num_classes")
    return int(number) if number is not None and number >= 2 else None


def chance_loss(run: Run) -> float | None:
    """Cross-entropy of a uniform guess among C classes, ln C; None where the classes are not known."""
    number = classes(run)
    return log(number) if number is not None else None


def skill(run: Run) -> float | None:
    """How far the run's end is from chance (0) to perfect (1), None where nothing tells what perfect is.

    The last level of the training accuracy, corrected for chance as Cohen's κ is: (a − 1/C) / (1 − 1/C);
    else that of the validation accuracy; else 1 − loss / ln C, unless the labels are smoothed, which
    keeps the loss high.
    """
    if OPEN_ENDED & set(re.split(r"[^a-z]+", str(run.setup.config.get("task", "")).lower())):
        return None
    for name in (TRAIN_ACCURACY, VALIDATION_ACCURACY):
        share = accuracy(run.scalar(name))
        if share is not None:
            guess = 1 / (classes(run) or np.inf)
            return float((curves.reduced(share).last_level - guess) / (1 - guess))
    chance, loss = chance_loss(run), run.scalar(TRAIN_LOSS)
    if chance is None or loss is None or not len(loss.finite) or run.setup.config_number("label_smoothing"):
        return None
    return 1 - curves.reduced(loss).last_level / chance


def accuracy(logged: Series | None) -> Series | None:
    """The accuracy as shares of 1, whatever it was logged in; None where it holds no finite value."""
    if logged is None or not len(logged.finite):
        return None
    sound = logged.finite
    return Series(sound.steps, sound.values / (100 if sound.values.max() > PERCENT else 1), sound.wall_times)
