"""torchvision's models, without the seconds that importing torch's compiler takes.

torchvision imports `torch._dynamo` for one question of one operator, `roi_align`, that no
classifier has. So the module that it asks is there when torchvision is imported, and imports the
compiler when it is called. A job whose networks only look at tiles then never does; a training
does, because torch's optimisers import it themselves.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

COMPILER = "torch._dynamo.utils"


class Later(ModuleType):
    """A module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: getattr(importlib.import_module(self.__name__), name)(
            *given, **named
        )


@contextmanager
def _compiler_later() -> Iterator[None]:
    if COMPILER in sys.modules:
        yield
        return
    sys.modules[COMPILER] = Later(COMPILER)
    try:
        yield
    finally:
        del sys.modules[COMPILER]


with _compiler_later():
    from torchvision import models as models
