"""How many parts a step's batch has: forward passes, told apart by the backward passes between them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

# Gradients and how often each was written. Held while they are compared: a freed one's place is soon another's.
Mark = tuple[tuple[Tensor | None, int], ...]


class MicroBatches:
    """Counts a step's micro-batches and their samples; one for each backward pass.

    Several forward passes before one backward pass, two views of a batch say, are one micro-batch, as large
    as the largest of them. A backward pass is known by the mark it leaves on the gradients.
    """

    def __init__(self) -> None:
        self.counting = False
        self.count = self.samples = self.largest = 0
        self._forward: int | None = None  # samples of the largest since the last backward pass
        self._mark: Mark = ()

    def begin(self, mark: Mark) -> None:
        """A step's first forward pass begins."""
        self.counting = True
        self.count = self.samples = self.largest = 0
        self._forward = None
        self._mark = mark

    def saw_forward(self, samples: int) -> None:
        """A forward pass is complete."""
        self._forward = max(self._forward or 0, samples)

    def look(self, mark: Mark) -> None:
        """Another forward pass begins, or the step ends."""
        if _same(mark, self._mark):
            return
        self._mark = mark
        if all(gradient is None for gradient, _ in mark):  # what was gathered so far has been thrown away
            self.count = self.samples = self.largest = 0
        elif self._forward is not None:
            self._add(self._forward)

    def end(self, mark: Mark) -> None:
        """The gradients are what the optimizer will see; what follows the last backward pass was not for them."""
        self.look(mark)
        if not self.count and self._forward is not None:
            self._add(self._forward)
        self.forget()

    def forget(self) -> None:
        """Hold no gradient any more; the counts stay."""
        self.counting = False
        self._mark = ()

    def _add(self, samples: int) -> None:
        self.count += 1
        self.samples += samples
        self.largest = max(self.largest, samples)
        self._forward = None


def mark_of(parameters: Iterable[nn.Parameter]) -> Mark:
    """Changes when a backward pass adds to the parameters' gradients, or when they are cleared."""
    gradients = [p.grad for p in parameters]
    return tuple((g, -1 if g is None else g._version) for g in gradients)


def _same(mark: Mark, other: Mark) -> bool:
    if len(mark) != len(other):
        return False
    return all(g is h and v == w for (g, v), (h, w) in zip(mark, other, strict=True))
