"""When requests of an open loop are due."""

from __future__ import annotations

import random
from collections.abc import Iterator


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """The arrivals of a Poisson process: ascending offsets below `seconds`, `rate` a second in the mean.

    The same seed gives the same arrivals, so that two servers can be asked at the same moments.
    """
    generator = random.Random(seed)
    due = generator.expovariate(rate)
    while due < seconds:
        yield due
        due += generator.expovariate(rate)
