from __future__ import annotations

from service.inference.timings import Timings


def test_stages_are_named_in_the_order_of_the_path() -> None:
    timings = Timings(decode=0.1, queue=0.2, compute=0.3)
    assert list(timings.stages()) == [("decode", 0.1), ("queue", 0.2), ("compute", 0.3)]
