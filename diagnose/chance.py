"""What a classifier reaches without learning anything, and how far a run is from it."""

from __future__ import annotations

import re
from math import log

import numpy as np

from diagnose import curves, facts
from diagnose.run import Run, Series
from diagnose.signals import TRAIN_LOSS

TRAIN_ACCURACY, VALIDATION_ACCURACY = "accuracy/train", "accuracy/validation"
PERCENT = 1 + 1e-6  # an accuracy above this is one in per cent
LEAST_FIRST, MOST_FIRST = 0.5, 3.0  # times ln C, the first loss: fine-tuned heads begin lower, thrown ones higher
MOST_CLASSES = 1000  # ImageNet's; beyond it they are words, whose next one nobody can know
# Tasks whose next word cannot be known: even a perfect model keeps the loss of the language's entropy (Shannon 1951).
OPEN_ENDED = frozenset({
    "language", "lm", "mlm", "clm", "llm", "gpt", "bert", "pretraining", "token", "tokens", "char", "rnn",
    "translation", "summarization", "generation", "text", "asr", "speech", "distillation", "detection", "segmentation",
})  # fmt: skip
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

    The last level of the training or validation accuracy, whichever is higher, corrected for chance as Cohen's κ is:
    (a − 1/C) / (1 − 1/C); else 1 − loss / ln C, unless the labels are smoothed, which keeps the loss high, or it is
    hardly a cross-entropy of so many classes: it begins far from ln C, or the classes are a vocabulary's.
    """
    if OPEN_ENDED & set(re.split(r"[^a-z]+", str(run.setup.config.get("task", "")).lower())):
        return None
    shares = [accuracy(run.scalar(name)) for name in (TRAIN_ACCURACY, VALIDATION_ACCURACY)]
    levels = [curves.reduced(share).last_level for share in shares if share is not None]
    if levels:
        guess = 1 / (classes(run) or np.inf)
        return float((max(levels) - guess) / (1 - guess))  # mixed or augmented training data keep the one low
    chance, loss = chance_loss(run), run.scalar(TRAIN_LOSS)
    if chance is None or loss is None or not len(loss.finite) or facts.label_smoothing(run.setup):
        return None
    if not LEAST_FIRST * chance <= loss.finite.values[0] <= MOST_FIRST * chance or (classes(run) or 0) > MOST_CLASSES:
        return None
    return 1 - curves.reduced(loss).last_level / chance


def accuracy(logged: Series | None) -> Series | None:
    """The accuracy as shares of 1, whatever it was logged in; None where it holds no finite value."""
    if logged is None or not len(logged.finite):
        return None
    sound = logged.finite
    return Series(sound.steps, sound.values / (100 if sound.values.max() > PERCENT else 1), sound.wall_times)
