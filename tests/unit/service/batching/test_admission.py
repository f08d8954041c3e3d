"""Admission by the number of images, by their expected time and by the time left."""

from __future__ import annotations

import pytest

from service.batching.admission import Admission
from service.errors import Overloaded


def measured(admission: Admission, seconds_per_image: float) -> Admission:
    for _ in range(200):
        admission.record_batch(images=4, seconds=4 * seconds_per_image)
    return admission


def test_permits_are_counted_in_images_and_released() -> None:
    admission = Admission(10)
    admission.acquire(6)
    admission.acquire(4)
    assert admission.admitted == 10
    admission.release(6)
    assert admission.admitted == 4


def test_rejected_request_acquires_nothing() -> None:
    admission = Admission(10)
    admission.acquire(6)
    with pytest.raises(Overloaded, match="6 of 10 images are waiting, 5 more do not fit"):
        admission.acquire(5)
    assert admission.admitted == 6
    admission.acquire(4)


def test_check_acquires_nothing() -> None:
    admission = Admission(1)
    admission.check()
    admission.check()
    admission.acquire(1)
    with pytest.raises(Overloaded):
        admission.check()
    assert admission.admitted == 1


def test_retry_after_is_the_time_of_the_queue_at_the_measured_rate() -> None:
    admission = measured(Admission(10), 0.5)
    admission.acquire(10)
    with pytest.raises(Overloaded) as rejection:
        admission.acquire(1)
    assert rejection.value.retry_after == pytest.approx(5.0, rel=0.01)


def test_request_is_rejected_below_the_limit_if_the_queue_is_slow() -> None:
    admission = measured(Admission(1000, max_wait=1.0), 0.3)
    admission.acquire(3)
    admission.check()
    admission.acquire(1)
    with pytest.raises(Overloaded, match="its 4 images take 1200 ms") as rejection:
        admission.acquire(1)
    assert rejection.value.retry_after == pytest.approx(1.2, rel=0.01)


def test_request_with_an_early_deadline_is_rejected_earlier() -> None:
    admission = measured(Admission(1000), 0.3)
    admission.acquire(2)
    with pytest.raises(Overloaded):
        admission.acquire(1, time_left=0.5)
    admission.acquire(1, time_left=0.7)


def test_idle_model_admits_a_request_of_any_expected_time() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    admission.acquire(100, time_left=0.1)
    with pytest.raises(Overloaded):
        admission.acquire(1)


def test_faster_model_admits_more_after_a_few_batches() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    admission.acquire(100)
    assert measured(admission, 0.001).expected_wait == pytest.approx(0.1, rel=0.5)
    admission.acquire(1)
