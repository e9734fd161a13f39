"""How far confidences can be believed: the reliability table and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10  # of equal width, as in Guo et al. 2017, who take 15 for thousands of samples


@dataclass(frozen=True)
class Bin:
    """The findings whose confidence lies in [low, high): how sure they were, and how often right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def reliability(judged: Sequence[tuple[float, bool]], bins: int = BINS) -> list[Bin]:
    """The bins that hold any finding; each finding comes as its confidence and whether it was right."""
    filled: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in judged:
        filled.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, right))
    return [
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            count=len(inside),
            confidence=sum(confidence for confidence, _ in inside) / len(inside),
            right=sum(right for _, right in inside) / len(inside),
        )
        for number, inside in sorted(filled.items())
    ]


def expected_calibration_error(table: Sequence[Bin]) -> float | None:
    """Σ count/n · |right − confidence| (Naeini, Cooper, Hauskrecht 2015); None of nothing."""
    total = sum(one.count for one in table)
    return sum(one.count * abs(one.right - one.confidence) for one in table) / total if total else None
