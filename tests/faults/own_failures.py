"""Failures of our own: each function that training runs into raises, in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import diagnose
from diagnose.hooks import cadence, course, kept_batch, layers, stream, trouble, watch
from diagnose.hooks.probes import activations, curvature, gradients, losses, noise, updates
from tests.faults.scene import Scene, tell

OURS: Final = (
    (gradients.GradientProbe, ("measure",)),
    (activations.ActivationProbe, ("begin", "end", "write")),
    (updates.UpdateProbe, ("before", "after")),
    (noise.NoiseProbe, ("begin", "saw_forward", "measure", "forget")),
    (curvature.CurvatureProbe, ("measure",)),
    (losses.LossProbe, ("from_criterion", "from_output")),
    (trouble.Trouble, ("feel",)),
    (layers.ForwardOrder, ("finish",)),
    (cadence.Timetable, ("due", "look_done", "step_done")),
    (course.Course, ("before_forward", "after_forward", "after_criterion", "before_step", "after_step", "close")),
    (watch.Watch, ("observe",)),
    (stream.Stream, ("add", "row", "latest", "step_done", "describe")),
    (kept_batch.BatchKeeper, ("saw",)),
)


ONCE: Final = ("finish", "forget", "close")  # called once in a training


def failing(owner: type, name: str, error: Callable[[], BaseException], scene: Scene) -> None:
    """One of our own functions raises from some call on."""
    original, calls, fatal = getattr(owner, name), [0], scene.instant.randrange(1, 4)  # curvature looks thrice
    fatal = 1 if name in ONCE else fatal

    def fail(*arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] >= fatal:
            if calls[0] == fatal:
                tell(fired=f"{owner.__name__}.{name}")
            raise error()
        return original(*arguments, **keywords)

    setattr(owner, name, fail)
    if owner is kept_batch.BatchKeeper:
        scene.arguments["keep_batch"] = True
    if name == "from_output":
        scene.arguments["criterion"] = None


def everything_fails(scene: Scene) -> None:
    """All probes raise."""
    for owner, names in OURS[:6]:
        for name in names:
            failing(owner, name, ValueError, scene)


def failing_callback(scene: Scene) -> None:
    """The loss breaks, and the user's `on_finding` with it."""

    def fail(finding: diagnose.Finding) -> None:
        tell(fired=finding.id)
        raise RuntimeError(finding.id)

    scene.arguments["on_finding"] = fail
    scene.breaks_at = 120
