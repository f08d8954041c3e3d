from __future__ import annotations

import pytest

from service.admission import Admission
from service.errors import Overloaded


def test_permits_are_counted_in_images_and_given_back() -> None:
    admission = Admission(10)
    with admission.admit(6), admission.admit(4):
        assert admission.admitted == 10
    assert admission.admitted == 0


def test_what_does_not_fit_is_refused_and_leaves_no_mark() -> None:
    admission = Admission(10)
    with admission.admit(6):
        with (
            pytest.raises(Overloaded, match="6 of 10 images are waiting"),
            admission.admit(5),
        ):
            pytest.fail("it was let in")
        assert admission.admitted == 6


def test_a_permit_is_given_back_when_the_work_fails() -> None:
    admission = Admission(10)
    with pytest.raises(ZeroDivisionError), admission.admit(10):
        _ = 1 / 0
    assert admission.admitted == 0


def test_a_refusal_tells_how_long_the_backlog_takes_at_the_measured_rate() -> None:
    admission = Admission(10)
    for _ in range(200):
        admission.served(images=4, seconds=2.0)
    with admission.admit(10), pytest.raises(Overloaded) as refusal, admission.admit(1):
        pass
    assert refusal.value.retry_after == pytest.approx(5.0, rel=0.01)
