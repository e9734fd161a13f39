"""How often each probe looks: by fixed periods, or by what it costs; and every step where trouble begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Final

from diagnose.errors import InvalidArgumentError

BUDGET: Final = 0.0007  # of the training's time for each sampled probe
LONGEST: Final = 1_000  # steps between two looks, however dear a look is
GRADIENT_BUDGET: Final = 0.003  # gradients are worth more: they are the record of the last steps before a break
LONGEST_OF: Final = {"gradients": 10, "curvature": 100_000}  # the one stays a record, the other is truly dear
CLOSEST_S: Final = {"gradients": 0.04}  # between two looks: more in a second than anybody follows
FORGET: Final = 0.3  # weight of the newest measurement in the running means
LONGER: Final = 2.0  # times the mean so far is the most that one step counts
FIRST_LOOK: Final = {"curvature": 10}  # the others look at step 1; this one waits until training has warmed up
ZOOMED: Final = ("gradients", "activations", "updates")  # look at every step while trouble begins
NOT_SHARDED: Final = ("noise", "curvature")  # run or compare what lies on other ranks
ZOOM_STEPS: Final = 10
ZOOM_REST: Final = 500  # steps until the next zoom: a run that is wild throughout keeps within the budget


@dataclass(frozen=True)
class Cadence:
    """Periods in optimizer steps: a probe with period n looks at steps 1, n + 1, 2n + 1, …; with 0, never.

    `gradients`: gradient norms; `activations`: statistics of layers' outputs; `updates`: parameter norms
    and update ratios; `noise`: the gradient noise scale; `curvature`: Hessian trace and sharpness, from
    step 10 on, which runs the model a few more times on a part of the batch.

    Raises `InvalidArgumentError` for a period that is no whole number of 0 or more.
    """

    gradients: int = 1
    activations: int = 10
    updates: int = 10
    noise: int = 20
    curvature: int = 100

    def __post_init__(self) -> None:
        for field in fields(self):
            period = getattr(self, field.name)
            if not isinstance(period, int) or isinstance(period, bool) or period < 0:
                raise InvalidArgumentError(
                    f"Cadence({field.name}={period!r}): expected a whole number of steps, or 0 for never."
                )


class Timetable:
    """Decides at which steps each probe looks, starting from a cadence's periods.

    Where it is `elastic`, it measures what each look costs on the training's thread and how long a step
    takes, and stretches a probe's period until the probe costs at most BUDGET of the training's time, up to
    LONGEST steps (gradients: GRADIENT_BUDGET, and CLOSEST_S apart in a training of very short steps); `zoom`
    has the cheap probes look at every step for a while.
    """

    def __init__(self, cadence: Cadence, *, elastic: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self.periods = {field.name: int(getattr(cadence, field.name)) for field in fields(cadence)}
        self._shortest = dict(self.periods)
        self._elastic = elastic
        self._clock = clock
        self._next = {probe: FIRST_LOOK.get(probe, 1) for probe, period in self.periods.items() if period}
        self.earliest = min(self._next.values(), default=0)  # the step at which anything at all is due next
        self._zoomed_until = 0
        self._kept: set[str] = set()
        self._cost_s: dict[str, float] = {}  # of the look that is under way
        self._mean_cost_s: dict[str, float] = {}
        self._step_s: float | None = None
        self._began_s: float | None = None

    def keep_in_step(self) -> None:
        """The ranks of a sharded model look together: at the cadence's periods, whatever one of them measures."""
        self._elastic = False
        for probe in NOT_SHARDED:
            self._next.pop(probe, None)
        self.earliest = min(self._next.values(), default=0)

    def due(self, probe: str, step: int) -> bool:
        """Whether `probe` looks at `step` (1 for the first); asked again for the same step, it says the same."""
        return probe in self._next and step >= self._next[probe]

    def ever(self, probe: str) -> bool:
        """Whether `probe` looks at all."""
        return probe in self._next

    def period(self, probe: str, step: int) -> int:
        """The steps from `probe`'s look at `step` to its next one."""
        return 1 if self._zooms(probe, step) else self.periods[probe]

    def keep(self, probe: str) -> None:
        """Stretch this probe's period no longer."""
        self._kept.add(probe)

    def zoom(self, step: int) -> None:
        """Trouble begins: look closely from the step after `step` on, for ZOOM_STEPS."""
        if not self._elastic or (self._zoomed_until and step < self._zoomed_until + ZOOM_REST):
            return
        self._zoomed_until = step + ZOOM_STEPS
        for probe in ZOOMED:
            if probe in self._next:
                self._next[probe] = min(self._next[probe], step + 1)
        self.earliest = min(self._next.values(), default=0)

    def step_done(self, step: int) -> None:
        """A step is over: whatever was due at it waits for its period now."""
        now = self._clock()
        if self._began_s is not None:
            mean, latest = self._step_s, now - self._began_s
            # A pause (an evaluation, a checkpoint) is no step; steps that do grow longer are followed all the same.
            self._step_s = latest if mean is None else mean + FORGET * (min(latest, LONGER * mean) - mean)
        self._began_s = now
        if step < self.earliest:
            return
        for probe, due_at in self._next.items():
            if due_at <= step:
                self._next[probe] = step + self.period(probe, step)
        self.earliest = min(self._next.values(), default=0)

    @contextmanager
    def timed(self, probe: str) -> Iterator[None]:
        """Measure a part of one look of `probe`."""
        start = self._clock()
        yield
        self._cost_s[probe] = self._cost_s.get(probe, 0.0) + self._clock() - start

    def look_done(self, probe: str) -> None:
        """All parts of a look are over: stretch or shorten the probe's period to what it cost."""
        cost = self._cost_s.pop(probe, 0.0)
        if not self._elastic or not self._step_s or probe in self._kept:
            return
        mean = self._mean_cost_s[probe] = _running_mean(self._mean_cost_s.get(probe), cost)
        budget = GRADIENT_BUDGET if probe == "gradients" else BUDGET
        wanted = max(mean / (budget * self._step_s), CLOSEST_S.get(probe, 0.0) / self._step_s)
        self.periods[probe] = max(self._shortest[probe], min(math.ceil(wanted), LONGEST_OF.get(probe, LONGEST)))

    def _zooms(self, probe: str, step: int) -> bool:
        return step < self._zoomed_until and probe in ZOOMED


def timetable_of(argument: object) -> Timetable:
    """The timetable that attach's argument asks for; raises `InvalidArgumentError` for anything unknown."""
    if argument == "auto":
        return Timetable(Cadence(), elastic=True)
    if isinstance(argument, Cadence):
        return Timetable(argument, elastic=False)
    raise InvalidArgumentError(f"attach(cadence={argument!r}): expected “auto” or a diagnose.Cadence.")


def _running_mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + FORGET * (value - mean)
