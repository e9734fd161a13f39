"""Whether the training loss follows the order of the data: the same steps of every epoch go with one another."""

from __future__ import annotations

from math import sqrt

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
SHORTEST_FOR_BLOCKS = 10  # values of an epoch: what a short one has used up says what its rest must be
WHITE_TURNS, TURN_SPREAD = 2 / 3, 0.42  # of the values, and its error times √n: white noise (Bienaymé 1874)
TURN_ERRORS, LEFT_ERRORS = 5.0, 3.0  # below that; and of what a running mean leaves
FEWEST_TURNS = 0.3  # of the values: what is smoother is no noise of batches
DRIFTS = 0.5  # a sum or mean of noise turns at half of its values, and rises as often as it falls
TOGETHER = 3.0  # errors: turns, rises and the correlation, together (Stouffer 1949)
BEGINS, SETTLED, SHRUNK = 0.1, 0.5, 3.0  # of an epoch, and times: the leaps of a mean that begins anew with each
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


def has_an_order(run: Run) -> bool:
    """Whether the loss follows an order of the data, by either of two signs."""
    return repeats(run) or comes_in_blocks(run)


def repeats(run: Run) -> bool:
    """Whether the loss of a step goes with that of the same step of the next epoch (Spearman's rank correlation)."""
    loss, epoch = _told(run)
    if loss is None or epoch is None:
        return False
    ranks = _ranks(beside_trend(loss))
    least = max(SAME, ERRORS / len(ranks) ** 0.5, _correlation(ranks, int(epoch / 2)) + BEYOND_TREND)
    return bool(_at_an_epoch(ranks, epoch) > least)


def comes_in_blocks(run: Run) -> bool:
    """Whether the loss of one step goes on in the next, as where sorted data hold one class after another.

    It falls for some steps and leaps at the next class: it turns far less often than the loss of batches that have
    nothing to do with each other, rises less often than it falls, and leaps at the same steps of each epoch. A running
    mean of shuffled data turns seldom too, but what each step adds to it does not. Only of our own logs: others' may
    be anything.
    """
    loss, epoch = _told(run)
    if loss is None or epoch is None or epoch < SHORTEST_FOR_BLOCKS or not run.setup.environment:
        return False
    beside = beside_trend(loss)
    leaps, turns = np.diff(beside), _turns(beside)
    if turns < FEWEST_TURNS or _short_of_white(beside) < TURN_ERRORS:
        return False
    if _short_of_white(_without_mean(beside)) < LEFT_ERRORS:
        return False
    half = DRIFTS / len(leaps) ** 0.5  # the error of a share of one half
    seldom, falls = (DRIFTS - turns) / half, (DRIFTS - float((leaps > 0).mean())) / half
    again = _at_an_epoch(_ranks(leaps), epoch) / (1.5 / len(leaps)) ** 0.5  # leaps of noise are a moving average
    return bool(again > 1 and (seldom + falls + again) / 3**0.5 > TOGETHER)


def _turns(values: Values) -> float:
    """The share of the values that are higher, or lower, than both their neighbours."""
    signs = np.sign(np.diff(values))
    return float((signs[1:] * signs[:-1] < 0).mean())


def _short_of_white(values: Values) -> float:
    """By how many errors they turn less often than white noise."""
    return (WHITE_TURNS - _turns(values)) / TURN_SPREAD * sqrt(len(values) - 1)


def _without_mean(values: Values) -> Values:
    """What each value adds to the exponential mean of those before: of smoothed noise that is white again."""
    off = values - values.mean()
    kept = float((off[1:] * off[:-1]).sum() / max(float((off * off).sum()), 1e-300))
    left: Values = off[1:] - kept * off[:-1]
    return left


def _told(run: Run) -> tuple[Series | None, float | None]:
    """The loss, and its values in an epoch. None where the rate still rises in the run's second half, with each epoch
    perhaps, and the loss with it, and where the loss is a mean that begins anew with each.
    """
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or rate_rises(run.scalar(LR), run.steps - run.length // 2, run.steps):
        return None, None
    epoch = length(run, loss)
    return (None, None) if epoch is None or _begins_anew(loss, epoch) else (loss, epoch)


def _begins_anew(loss: Series, epoch: float) -> bool:
    """Whether the loss leaps far at the beginning of each epoch and less and less within, as a mean since then does."""
    sound = loss.finite
    per_value = float(np.median(np.diff(sound.steps)))
    since = (sound.steps[1:] / per_value - 1) % epoch / epoch
    leaps = np.abs(np.diff(sound.values))
    first, later = leaps[since < BEGINS], leaps[since > SETTLED]
    return bool(len(first) and len(later) and np.median(first) > SHRUNK * np.median(later))


def _at_an_epoch(ranks: Values, epoch: float) -> float:
    """The correlation with an epoch later: a last batch that is not full may be dropped or not."""
    return max(_correlation(ranks, lag) for lag in {int(epoch), int(-(-epoch // 1))})


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
