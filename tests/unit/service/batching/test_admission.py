"""Who is let in, by number, by time, and by what time is left."""

from __future__ import annotations

import pytest

from service.batching.admission import Admission
from service.errors import Overloaded


def measured(admission: Admission, seconds_per_image: float) -> Admission:
    for _ in range(200):
        admission.record_batch(images=4, seconds=4 * seconds_per_image)
    return admission


def test_permits_are_counted_in_images_and_given_back() -> None:
    admission = Admission(10)
    admission.acquire(6)
    admission.acquire(4)
    assert admission.admitted == 10
    admission.release(6)
    assert admission.admitted == 4


def test_what_does_not_fit_is_refused_and_leaves_no_mark() -> None:
    admission = Admission(10)
    admission.acquire(6)
    with pytest.raises(Overloaded, match="6 of 10 images are waiting, 5 more do not fit"):
        admission.acquire(5)
    assert admission.admitted == 6
    admission.acquire(4)


def test_looking_takes_nothing() -> None:
    admission = Admission(1)
    admission.check()
    admission.check()
    admission.acquire(1)
    with pytest.raises(Overloaded):
        admission.check()
    assert admission.admitted == 1


def test_a_refusal_tells_how_long_the_backlog_takes_at_the_measured_rate() -> None:
    admission = measured(Admission(10), 0.5)
    admission.acquire(10)
    with pytest.raises(Overloaded) as refusal:
        admission.acquire(1)
    assert refusal.value.retry_after == pytest.approx(5.0, rel=0.01)


def test_a_backlog_that_takes_too_long_is_refused_however_much_room_there_is() -> None:
    admission = measured(Admission(1000, max_wait=1.0), 0.3)
    admission.acquire(3)
    admission.check()
    admission.acquire(1)
    with pytest.raises(Overloaded, match="the 4 images in it take 1200 ms") as refusal:
        admission.acquire(1)
    assert refusal.value.retry_after == pytest.approx(1.2, rel=0.01)


def test_who_has_less_time_is_refused_sooner() -> None:
    admission = measured(Admission(1000), 0.3)
    admission.acquire(2)
    with pytest.raises(Overloaded):
        admission.acquire(1, time_left=0.5)
    admission.acquire(1, time_left=0.7)


def test_an_idle_model_takes_what_it_can_hardly_do_in_time() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    admission.acquire(100, time_left=0.1)
    with pytest.raises(Overloaded):
        admission.acquire(1)


def test_a_model_that_has_become_quicker_is_believed() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    admission.acquire(100)
    assert measured(admission, 0.001).expected_wait == pytest.approx(0.1, rel=0.5)
    admission.acquire(1)
