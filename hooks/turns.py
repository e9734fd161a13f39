"""When a step is over, where several optimizers train one model: Muon beside AdamW, the two sides of a GAN."""

from __future__ import annotations

from torch.optim import Optimizer


class Turns:
    """A step of training ends when each optimizer that is awaited in it has stepped.

    Every optimizer is awaited from its first step on, until another steps twice without it: it is then a
    rarer one, whose steps fall into the others'. `first` is the one whose every step was a step so far.
    """

    def __init__(self, first: Optimizer) -> None:
        self._awaited = {id(first)}
        self._rare: set[int] = set()
        self._stepped: set[int] = set()  # in the open step

    @property
    def began(self) -> bool:
        """Whether an optimizer has stepped in the open step."""
        return bool(self._stepped)

    def again(self, optimizer: Optimizer) -> bool:
        """Whether the optimizer, about to step, has already stepped in the open step."""
        return id(optimizer) in self._stepped

    def stray(self, optimizer: Optimizer) -> bool:
        """Whether the optimizer, about to step between two steps, belongs to the one that has just ended."""
        return id(optimizer) not in self._awaited

    def stepped(self, optimizer: Optimizer, *, within: bool) -> bool:
        """The optimizer has stepped, within the open step or after its end; returns whether that ends it."""
        if id(optimizer) not in self._rare:
            self._awaited.add(id(optimizer))
        if not within:
            return False
        self._stepped.add(id(optimizer))
        return self._stepped >= self._awaited

    def ended(self) -> None:
        """The step is over; whoever was still awaited is a rarer one."""
        self._rare |= self._awaited - self._stepped
        self._awaited &= self._stepped
        self._stepped = set()
