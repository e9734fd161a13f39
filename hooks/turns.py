"""When a step is over, where several optimizers train one model: Muon beside AdamW, the two sides of a GAN."""

from __future__ import annotations

import weakref

from torch.optim import Optimizer


class Turns:
    """A step of training ends when each optimizer that is awaited in it has stepped.

    Every optimizer is awaited from its first step on, until another steps twice without it: it is then a
    rarer one, whose steps fall into the others'. `first` is the one whose every step was a step so far; it is not
    `awaited` from the beginning where the next one steps the same parameters: a sharpness-aware optimizer whose two
    halves are called by hand never steps itself, but has its base do so.
    """

    def __init__(self, first: Optimizer, *, awaited: bool = True) -> None:
        self._awaited = weakref.WeakSet([first] if awaited else [])
        self._rare: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._stepped: weakref.WeakSet[Optimizer] = weakref.WeakSet()  # in the open step

    @property
    def began(self) -> bool:
        """Whether an optimizer has stepped in the open step."""
        return len(self._stepped) > 0

    def again(self, optimizer: Optimizer) -> bool:
        """Whether the optimizer, about to step, has already stepped in the open step."""
        return optimizer in self._stepped

    def stray(self, optimizer: Optimizer) -> bool:
        """Whether the optimizer, about to step between two steps, belongs to the one that has just ended."""
        return optimizer not in self._awaited

    def stepped(self, optimizer: Optimizer, *, within: bool) -> bool:
        """The optimizer has stepped, within the open step or after its end; returns whether that ends it."""
        if optimizer not in self._rare:
            self._awaited.add(optimizer)
        if not within:
            return False
        self._stepped.add(optimizer)
        return self._stepped >= self._awaited

    def ended(self) -> None:
        """The step is over; whoever was still awaited is a rarer one."""
        self._rare.update(self._awaited - self._stepped)
        self._awaited = self._awaited & self._stepped
        self._stepped = weakref.WeakSet()
