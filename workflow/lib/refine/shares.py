"""How a number is shared out between slides that have more or less to give."""

from collections.abc import Sequence

import numpy as np


def share_out(there: Sequence[int], total: int) -> list[int]:
    """How many each slide gives, of those it has, so that all give the same as far as they can.

    >>> share_out([10, 1, 10], 9), share_out([3, 2], 9)
    ([4, 1, 4], [3, 2])
    """
    given, left = [0] * len(there), total
    for done, slide in enumerate(np.argsort(there, kind="stable")):
        given[slide] = int(min(there[slide], left // (len(there) - done)))
        left -= given[slide]
    return given
