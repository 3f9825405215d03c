"""How long a loop waits for what it computes with."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Step = TypeVar("Step")


class Waiting:
    """The share of a loop's time that passes before its steps can begin.

    clock() gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.waited = self.total = 0.0

    def watch(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass on `steps`; the time until each is there counts as waited for."""
        begun = asked = self._clock()
        for step in steps:
            self.waited += self._clock() - asked
            yield step
            asked = self._clock()
            self.total += asked - begun
            begun = asked

    def sentence(self) -> str:
        """The share, after one step at least."""
        return f"Waited for tiles {100 * self.waited / self.total:.1f} % of the time."
