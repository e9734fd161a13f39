"""Too short to tell: there are too few losses to judge the run by.

What it looks like   A handful of points, or none.
How it is told       Fewer than eight values of the training loss (of the validation loss where that is all
                     there is), and all of them finite. It is no illness: an `info`, so that silence about
                     such a run is not read as health. What shows at once is told all the same: a loss that
                     is no number, a set-up that breaks a rule.
Why it matters       No trend, no noise and no level can be told from fewer points.
Mistaken for         A healthy run, which has enough values and no finding.
When to ignore it    While the run still goes on: wait for more steps. Where a logger wrote one value an
                     epoch, log each step's.
Causes               none: it says what is not known
Sources              K82 (deep-dive §8): metrics have to be recorded to be judged
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window the whole run."""
    loss = run.scalar(TRAIN_LOSS) or run.scalar(VALIDATION_LOSS)
    if loss is None or len(loss) >= curves.MIN_POINTS or not np.isfinite(loss.values).all():
        return
    values = f"{len(loss)} value{'s' if len(loss) > 1 else ''}"
    yield Finding(
        id="too_short_to_tell",
        severity=Severity.INFO,
        confidence=1.0,
        window=(int(loss.steps[0]), int(loss.steps[-1])),
        summary=f"Too short to tell: {values} of the loss, where at least {curves.MIN_POINTS} are needed.",
        evidence={"values": len(loss), "needed": curves.MIN_POINTS},
    )
