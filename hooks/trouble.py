"""Trouble: noticed where it begins, looked at closely, and traced to its origin where numbers break."""

from __future__ import annotations

import math

from torch import Tensor

from diagnose.hooks.blackbox import Origin
from diagnose.hooks.cadence import Timetable
from diagnose.hooks.guard import Guard
from diagnose.hooks.kept_batch import BatchKeeper
from diagnose.hooks.pulse import Band, Beat, Pulse


class Trouble:
    """Feels each measured step's pulse; zooms in where it leaves its band.

    `scaled` says that the gradients' infinities are a loss scaler's own doing, and no trouble.
    """

    def __init__(
        self,
        origin: Origin,
        guard: Guard,
        timetable: Timetable,
        *,
        scaled: bool,
        keeper: BatchKeeper | None,
    ) -> None:
        self._origin = origin
        self._guard = guard
        self._timetable = timetable
        self._scaled = scaled
        self._keeper = keeper
        self._pulse, self._norms, self._losses = Pulse(), Band(), Band()

    def feel(self, step: int, loss: Tensor | float | None, norms: Tensor, micro_batches: int) -> None:
        """The optimizer is about to step: its gradients have these norms, of shape (parameters,)."""
        for beat in self._pulse.send(step, loss, norms):
            broken = beat.broken and not self._excused(beat)
            if self._keeper is not None:
                self._guard.run("keep_batch", self._keeper.verdict, beat.step, broken)
            if not beat.broken:
                self._compare(beat)
            elif broken and beat.step == step:
                # Later, the weights are no longer those of the broken step.
                self._guard.run("black box", self._origin.trace, step, micro_batches)

    def _compare(self, beat: Beat) -> None:
        wild = self._norms.leaves(beat.grad_norm)
        wild |= beat.loss is not None and self._losses.leaves(beat.loss)
        if wild:
            self._timetable.zoom(beat.step)

    def _excused(self, beat: Beat) -> bool:
        return self._scaled and (beat.loss is None or math.isfinite(beat.loss))
