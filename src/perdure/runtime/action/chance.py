"""ActionRandom: the generator of an action, which gives numbers for as long as that runs."""

from __future__ import annotations

import random
from typing import Any, NoReturn

from perdure.errors import ContextAccessError


class ActionRandom(random.Random):
    """A generator that costs what any other does, and is refused once its action has ended."""

    def end(self, where: str) -> None:
        """Give no number from now on; `where` is the action's place, for the message."""
        self._where = where
        self.gauss_next = None  # a number that was drawn before
        self.__class__ = _EndedRandom


class _EndedRandom(ActionRandom):
    def random(self) -> NoReturn:
        self._refuse()

    def getrandbits(self, k: int, /) -> NoReturn:
        self._refuse()

    def seed(self, *given: Any) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ContextAccessError(
            f"{self._where}: ctx.random was kept and used when the action had ended, where its"
            " numbers would not be the same on replay: draw them in the action's own code"
        )
