"""How often each probe looks."""

from __future__ import annotations

from dataclasses import dataclass, fields

from diagnose.errors import InvalidArgumentError


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

    def due(self, probe: str, step: int) -> bool:
        """Whether `probe` looks at `step` (1 for the first)."""
        return (step - 1) % int(getattr(self, probe)) == 0


def cadence_of(argument: object) -> Cadence:
    """The cadence that attach's argument asks for; raises `InvalidArgumentError` for anything unknown."""
    if argument == "auto":
        return Cadence()
    if isinstance(argument, Cadence):
        return argument
    raise InvalidArgumentError(f"attach(cadence={argument!r}): expected “auto” or a diagnose.Cadence.")
