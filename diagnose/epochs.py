"""Whether the training loss follows the order of the data: the same steps of every epoch go with one another."""

from __future__ import annotations

import numpy as np

from diagnose import curves
from diagnose.facts import effective_batch_size
from diagnose.run import Run, Series, Values
from diagnose.signals import TRAIN_LOSS

SAME = 0.5  # rank correlation from epoch to epoch; shuffled data have 0 ± 1/√n
ERRORS = 5.0  # of these standard errors 1/√n: for short runs
BEYOND_TREND = 0.2  # above the correlation half an epoch away, where a trend that was not removed has more, not less
SHORTEST = 4  # values of an epoch
FEWEST = 3  # epochs
LONGEST_LOOK = 100_000  # values, the last ones
TREND_POINTS, TREND_WIDTH = 50, 9  # medians of the whole run, and how many of them the trend goes through


def length(run: Run, loss: Series) -> float | None:
    """Values of the loss in one epoch; None where that is not known, or too short or long to tell."""
    size, samples = effective_batch_size(run.setup), run.setup.config_number("dataset_size")
    if not size or not samples or samples < size or len(loss.finite) < 2:
        return None
    values = samples / size / float(np.median(np.diff(loss.finite.steps)))
    return values if SHORTEST <= values <= len(loss.finite) / FEWEST else None


def beside_trend(loss: Series) -> Values:
    """What is left of the loss beside its trend, after the first quarter, which holds the first descent."""
    sound = loss.finite
    trend = curves.level_at(curves.smoothed(curves.reduced(loss, TREND_POINTS), TREND_WIDTH), sound.steps)
    return (sound.values - trend)[len(sound) // 4 :][-LONGEST_LOOK:]


def repeats(run: Run) -> bool:
    """Whether the loss of a step goes with that of the same step of the next epoch (Spearman's rank correlation)."""
    loss = run.scalar(TRAIN_LOSS)
    epoch = length(run, loss) if loss is not None else None
    if loss is None or epoch is None:
        return False
    beside = beside_trend(loss)
    least = max(SAME, ERRORS / len(beside) ** 0.5, _rank_correlation(beside, int(epoch / 2)) + BEYOND_TREND)
    # A last batch that is not full may be dropped or not.
    return any(_rank_correlation(beside, lag) > least for lag in {int(epoch), int(-(-epoch // 1))})


def _rank_correlation(values: Values, lag: int) -> float:
    ranks = np.argsort(np.argsort(values)).astype(np.float64)
    if len(ranks) < lag + 3:
        return 0.0
    return float(np.corrcoef(ranks[lag:], ranks[:-lag])[0, 1])
