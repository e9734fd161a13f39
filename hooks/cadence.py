"""How often each probe looks: by fixed periods, or by what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Final

from diagnose.errors import InvalidArgumentError

BUDGET: Final = 0.003  # of the step's time for each sampled probe
LONGEST: Final = 1_000  # steps between two looks, however dear a look is
FORGET: Final = 0.3  # weight of the newest measurement in the running means


@dataclass(frozen=True)
class Cadence:
    """Periods in optimizer steps: a probe with period n looks at steps 1, n + 1, 2n + 1, …

    `gradients`: gradient norms; `activations`: statistics of layers' outputs; `updates`: parameter norms
    and update ratios; `noise`: the gradient noise scale, from the step after as well.

    Raises `InvalidArgumentError` for a period that is no positive whole number.
    """

    gradients: int = 1
    activations: int = 10
    updates: int = 10
    noise: int = 20

    def __post_init__(self) -> None:
        for field in fields(self):
            period = getattr(self, field.name)
            if not isinstance(period, int) or period < 1:
                raise InvalidArgumentError(
                    f"Cadence({field.name}={period!r}): expected a whole number of steps, 1 or more."
                )


class Timetable:
    """Decides at which steps each probe looks, starting from a cadence's periods.

    Where it is `elastic`, it measures what each look costs on the training's thread and how long a step
    takes, and stretches a probe's period until its looks cost at most BUDGET of the training's time. It
    never goes below the cadence's own period, nor above LONGEST. Gradients are looked at as the cadence
    says: they are the black box of the last steps.
    """

    def __init__(self, cadence: Cadence, *, elastic: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self.periods = {field.name: int(getattr(cadence, field.name)) for field in fields(cadence)}
        self._shortest = dict(self.periods)
        self._elastic = elastic
        self._clock = clock
        self._next = dict.fromkeys(self.periods, 1)
        self._cost_s: dict[str, float] = {}  # of the look that is under way
        self._mean_cost_s: dict[str, float] = {}
        self._step_s: float | None = None
        self._began_s: float | None = None

    def due(self, probe: str, step: int) -> bool:
        """Whether `probe` looks at `step` (1 for the first); asked again for the same step, it says the same."""
        return step >= self._next[probe]

    def step_done(self, step: int) -> None:
        """A step is over: whatever was due at it waits for its period now."""
        now = self._clock()
        if self._began_s is not None:
            self._step_s = _running_mean(self._step_s, now - self._began_s)
        self._began_s = now
        for probe, due_at in self._next.items():
            if due_at <= step:
                self._next[probe] = step + self.periods[probe]

    @contextmanager
    def timed(self, probe: str) -> Iterator[None]:
        """Measure a part of one look of `probe`."""
        start = self._clock()
        yield
        self._cost_s[probe] = self._cost_s.get(probe, 0.0) + self._clock() - start

    def look_done(self, probe: str) -> None:
        """All parts of a look are over: stretch or shorten the probe's period to what it cost."""
        cost = self._cost_s.pop(probe, 0.0)
        if not self._elastic or not self._step_s:
            return
        mean = self._mean_cost_s[probe] = _running_mean(self._mean_cost_s.get(probe), cost)
        wanted = int(mean / (BUDGET * self._step_s)) + 1
        self.periods[probe] = max(self._shortest[probe], min(wanted, LONGEST))


def timetable_of(argument: object) -> Timetable:
    """The timetable that attach's argument asks for; raises `InvalidArgumentError` for anything unknown."""
    if argument == "auto":
        return Timetable(Cadence(), elastic=True)
    if isinstance(argument, Cadence):
        return Timetable(argument, elastic=False)
    raise InvalidArgumentError(f"attach(cadence={argument!r}): expected “auto” or a diagnose.Cadence.")


def _running_mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + FORGET * (value - mean)
