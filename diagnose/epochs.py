"""Whether the training loss follows the order of the data: the same steps of every epoch go with one another."""

from __future__ import annotations

import numpy as np

from diagnose import curves
from diagnose.facts import effective_batch_size
from diagnose.run import Run, Series, Values
from diagnose.schedules import rate_rises
from diagnose.signals import LR, TRAIN_LOSS

SAME = 0.5  # rank correlation from epoch to epoch; shuffled data have 0 ± 1/√n
ERRORS = 5.0  # of these standard errors 1/√n: for short runs
BEYOND_TREND = 0.2  # above the correlation half an epoch away, where a trend that was not removed has more, not less
SHORTEST = 4  # values of an epoch
FEWEST = 3  # epochs
LEAP_ERRORS = 3.0  # standard errors √(1.5/n) of the leaps' correlation: those of white noise are a moving average
SHORTEST_FOR_LEAPS = 10  # values of an epoch: what a short one has used up says what its rest must be
OTHER_LAGS = 40  # at the most, between half an epoch and one and a half
TURNS = 0.55  # of the values: white noise turns at two thirds (Bienaymé 1874), sorted data go the same way for a while
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
    """Whether the loss of a step goes with that of the same step of the next epoch (Spearman's rank correlation).

    Not where the rate still rises in the run's second half: with each epoch perhaps, and the loss with it.
    """
    loss = run.scalar(TRAIN_LOSS)
    epoch = length(run, loss) if loss is not None else None
    if loss is None or epoch is None or rate_rises(run.scalar(LR), run.steps - run.length // 2, run.steps):
        return False
    lags = {int(epoch), int(-(-epoch // 1))}  # a last batch that is not full may be dropped or not
    return _levels_repeat(beside_trend(loss), epoch, lags) or _leaps_repeat(loss, epoch, lags)


def _levels_repeat(beside: Values, epoch: float, lags: set[int]) -> bool:
    ranks = _ranks(beside)
    least = max(SAME, ERRORS / len(ranks) ** 0.5, _correlation(ranks, int(epoch / 2)) + BEYOND_TREND)
    return any(_correlation(ranks, lag) > least for lag in lags)


def _leaps_repeat(loss: Series, epoch: float, lags: set[int]) -> bool:
    """Whether the loss goes the same way for several steps, as where sorted data hold one class after another, and
    leaps at the same steps of each epoch, more than at those of any other distance.

    That tells a run whose level goes its own ways, too.
    """
    leaps = np.diff(loss.finite.values[-LONGEST_LOOK:])
    turns = float((np.sign(leaps[1:]) * np.sign(leaps[:-1]) < 0).mean())
    if epoch < SHORTEST_FOR_LEAPS or turns > TURNS:
        return False
    ranks = _ranks(leaps)
    others = {int(lag) for lag in np.linspace(epoch / 2, 1.5 * epoch, OTHER_LAGS)}
    others -= {near for lag in lags for near in (lag - 1, lag, lag + 1)}
    least = max(LEAP_ERRORS * (1.5 / len(ranks)) ** 0.5, *(_correlation(ranks, lag) for lag in others))
    return any(_correlation(ranks, lag) > least for lag in lags)


def _ranks(values: Values) -> Values:
    """Equal values share the mean of their ranks."""
    _, which, each = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = (np.cumsum(each) - (each - 1) / 2)[which]
    return ranks


def _correlation(ranks: Values, lag: int) -> float:
    """With the same so many values later; 0 where they are too few, or all alike."""
    if len(ranks) < lag + 3 or ranks[lag:].std() == 0 or ranks[:-lag].std() == 0:
        return 0.0
    return float(np.corrcoef(ranks[lag:], ranks[:-lag])[0, 1])
