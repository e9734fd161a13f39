"""One training run in memory: its set-up and its signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diagnose.endings import FINISHED, UNTOLD, Ending
from diagnose.logs.layout import CLOSED_TAG, CUT_SHORT, OWN_TAGS

if TYPE_CHECKING:
    import pandas as pd

Steps = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """A scalar signal over steps, in the order of its steps.

    `steps` int64 of shape (n,), strictly increasing; `values` float64 of shape (n,), NaN and infinity
    kept as they were logged; `wall_times` float64 of shape (n,), seconds since the epoch.
    """

    steps: Steps
    values: Values
    wall_times: Values

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def start(self) -> int:
        """The step from which on it was logged: 0 where the first value lies within one interval of it."""
        first = int(self.steps[0])
        return first if len(self) > 1 and first > self.steps[1] - first else min(first, 0)

    @cached_property
    def finite(self) -> Series:
        """The series without its NaN and infinite values."""
        sound = np.isfinite(self.values)
        count = int(np.count_nonzero(sound))
        if count == len(self):
            return self
        # Most often all from one step on is NaN: what comes before is there already, and need not be copied.
        part = slice(count) if sound[:count].all() else sound
        return Series(self.steps[part], self.values[part], self.wall_times[part])


@dataclass(frozen=True, eq=False)
class LayerSeries:
    """A per-layer signal: `steps` int64 of shape (n,), `values` float32 of shape (n, layers)."""

    steps: Steps
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Layer:
    """One layer of the model, as the set-up describes it, in the order of the forward pass.

    `activation` is the non-linearity that follows ("ReLU", "Sigmoid", …), empty where none was seen;
    `init` holds the weight's statistics at attach time (`weight_std`, `fan_in`, `fan_out`).
    """

    name: str
    type: str
    parameters: int
    trainable: bool = True
    activation: str = ""
    init: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """What was fixed before the first step, as far as the log tells.

    `config` is what the user passed; `optimizer` holds `type` and `groups` (a list of settings such as
    `lr`, `momentum`, `weight_decay`); `model` holds `type` and `parameters`; `modules` counts the
    modules by type, so that dropout and normalisation are seen although they own no parameters.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    def optimizer_setting(self, name: str) -> float | None:
        """A finite number of the first parameter group, or None where the log does not hold it."""
        return _number(self._first_group.get(name))

    def optimizer_flag(self, name: str) -> bool:
        """A yes or no of the first parameter group; no where the log does not hold it."""
        return self._first_group.get(name) is True

    def optimizer_settings(self, name: str) -> tuple[float, ...]:
        """The finite numbers of that name in all parameter groups that hold one."""
        numbers = (_number(group.get(name)) for group in self._groups if isinstance(group, Mapping))
        return tuple(number for number in numbers if number is not None)

    @property
    def _first_group(self) -> Mapping[str, Any]:
        first = self._groups[0] if self._groups else None
        return first if isinstance(first, Mapping) else {}

    @property
    def _groups(self) -> Sequence[Any]:
        # Logs are written by strangers: nothing about the groups' form can be relied on.
        groups = self.optimizer.get("groups")
        return groups if isinstance(groups, list | tuple) else ()

    def config_number(self, name: str) -> float | None:
        """A number of the user's config, or None where it is absent or no finite number."""
        return _number(self.config.get(name))

    def scheduler_number(self, name: str) -> float | None:
        """A number of the scheduler's state, or None where the log does not hold it."""
        return _number(self.scheduler.get(name))

    def model_number(self, name: str) -> float | None:
        """A number of the model's summary, or None where the log does not hold it."""
        return _number(self.model.get(name))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: a directory with event logs, read.

    `names` maps each signal to the name under which its logger wrote it; `unmapped` are the scalars
    that no signal was found for; `notes` say what reading lost or assumed, one sentence each; `complete` is
    false where a file could not be read, this time; `last_words` is what the log says last of how training ended,
    which holds where `ending` gives it.
    """

    path: str
    setup: Setup = field(default_factory=Setup)
    scalars: Mapping[str, Series] = field(default_factory=dict)
    layer_signals: Mapping[str, LayerSeries] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    last_words: Ending | None = None

    def scalar(self, name: str) -> Series | None:
        """The scalar signal, or None where it was not logged or has no values."""
        series = self.scalars.get(name)
        return series if series is not None and len(series) else None

    def per_layer(self, name: str) -> LayerSeries | None:
        """The per-layer signal, or None where it was not logged or has no values."""
        series = self.layer_signals.get(name)
        return series if series is not None and len(series) else None

    @property
    def closed(self) -> bool:
        """Whether the log was closed in order and nothing came after; a kill or another writer leave it open."""
        mark = self.scalar(CLOSED_TAG)
        if mark is None:
            return False
        return all(series.wall_times[-1] <= mark.wall_times[-1] for series in self.scalars.values() if len(series))

    def _repr_html_(self) -> str:
        from diagnose.reports.html import run_as_notebook_html

        return run_as_notebook_html(self)

    @property
    def ending(self) -> Ending | None:
        """How training ended; None where the log was not closed: it goes on, was killed, or is another writer's."""
        if not self.closed:
            return None
        cut_short = self.scalars[CLOSED_TAG].values[-1] == CUT_SHORT
        return (self.last_words or UNTOLD) if cut_short else FINISHED

    @property
    def finished(self) -> bool:
        """Whether training is known to have ended by itself, and so where it was meant to."""
        return self.ending == FINISHED

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the per-layer signals' columns."""
        return tuple(layer.name for layer in self.setup.layers)

    @property
    def steps(self) -> int:
        """The last step that any signal reached, 0 for a run without any."""
        all_steps = [s.steps for s in self.scalars.values()] + [s.steps for s in self.layer_signals.values()]
        return max((int(steps[-1]) for steps in all_steps if len(steps)), default=0)

    @property
    def start(self) -> int:
        """The step from which on it was logged: 0 unless every signal begins late, as after a resumption."""
        return min((series.start for series in self.scalars.values() if len(series)), default=0)

    @property
    def length(self) -> int:
        """The steps from the start to the last one logged."""
        return self.steps - self.start

    def to_frame(self) -> pd.DataFrame:
        """All scalar signals as a table: one row per step, one column per signal, NaN where not logged."""
        import pandas as pd  # a third of a second that only those who ask for a table should wait

        told = {name: s for name, s in self.scalars.items() if len(s) and not name.startswith(OWN_TAGS)}
        columns = {name: pd.Series(s.values, index=s.steps) for name, s in told.items()}
        return pd.DataFrame(columns).rename_axis("step").sort_index()
