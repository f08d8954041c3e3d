"""Admission by the number of images, by their expected time and by the time left."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from service.batching.admission import Admission
from service.errors import Overloaded


def measured(admission: Admission, seconds_per_image: float) -> Admission:
    for _ in range(200):
        admission.record_batch(images=4, seconds=4 * seconds_per_image)
    return admission


def decode(admission: Admission, images: int) -> None:
    admission.acquire(images)
    admission.add_decoded(images)


def test_permits_are_counted_in_images_and_released() -> None:
    admission = Admission(7)
    admission.acquire(3)
    admission.acquire(4)
    assert admission.admitted == 7
    admission.release(3)
    assert admission.admitted == 4


def test_rejected_request_acquires_nothing() -> None:
    admission = Admission(7)
    admission.acquire(6)
    with pytest.raises(Overloaded, match="6 of 7 images are queued or being decoded, 2 more do not fit"):
        admission.acquire(2)
    assert admission.admitted == 6
    admission.acquire(1)


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
    decode(admission, 10)
    with pytest.raises(Overloaded) as rejection:
        admission.acquire(1)
    assert rejection.value.retry_after == pytest.approx(5.0, rel=0.01)


def test_request_is_rejected_below_the_limit_if_the_queue_is_slow() -> None:
    admission = measured(Admission(1000, max_wait=1.0), 0.3)
    decode(admission, 3)
    admission.check()
    decode(admission, 1)
    with pytest.raises(Overloaded, match="its 4 images take 1200 ms") as rejection:
        admission.acquire(1)
    assert rejection.value.retry_after == pytest.approx(1.2, rel=0.01)


def test_request_with_an_early_deadline_is_rejected_earlier() -> None:
    admission = measured(Admission(1000), 0.3)
    decode(admission, 2)
    with pytest.raises(Overloaded):
        admission.acquire(1, time_left=0.5)
    admission.acquire(1, time_left=0.7)


def test_idle_model_admits_a_request_of_any_expected_time() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    admission.acquire(100, time_left=0.1)
    admission.add_decoded(100)
    with pytest.raises(Overloaded):
        admission.acquire(1)


def test_faster_model_admits_more_after_a_few_batches() -> None:
    admission = Admission(1000, max_wait=1.0, seconds_per_image=5.0)
    decode(admission, 100)
    assert measured(admission, 0.001).expected_wait == pytest.approx(0.1, rel=0.5)
    admission.acquire(1)


def test_images_that_are_being_decoded_delay_nobody() -> None:
    admission = measured(Admission(1000, max_wait=1.0), 0.3)
    admission.acquire(400)
    assert admission.expected_wait == 0
    admission.check(time_left=0.1)
    admission.add_decoded(4)
    with pytest.raises(Overloaded, match="its 4 images take 1200 ms"):
        admission.check()
    admission.release(4, decoded=True)
    admission.check()


def test_clients_with_many_images_leave_room_for_others() -> None:
    admission = Admission(1024)
    for client in "abcd":
        for _ in range(300):
            try:
                admission.acquire(1, client=client)
            except Overloaded:
                break
    assert admission.admitted == 896 + 16
    with pytest.raises(Overloaded, match=r"912 of 1024 images .* 300 of them from this client"):
        admission.acquire(1, client="a")
    for _ in range(16):
        admission.acquire(1, client="polite")
    with pytest.raises(Overloaded):
        admission.acquire(1, client="polite")


def test_client_with_more_than_its_share_is_refused_first() -> None:
    admission = Admission(1024)
    admission.acquire(500, client="a")
    admission.acquire(300, client="b")
    with pytest.raises(Overloaded):
        admission.acquire(1, client="a")
    admission.acquire(90, client="b")


def test_alone_a_client_may_use_all_but_the_reserve() -> None:
    admission = Admission(1024)
    admission.acquire(500, client="a")
    admission.acquire(396, client="a")
    with pytest.raises(Overloaded):
        admission.acquire(1, client="a")


def test_idle_model_admits_a_request_of_the_whole_limit() -> None:
    admission = Admission(1024)
    with pytest.raises(Overloaded):
        admission.acquire(1025, client="a")
    admission.acquire(1024, client="a")


def test_last_part_of_the_wait_is_reserved_for_clients_with_few_images() -> None:
    admission = measured(Admission(1000, max_wait=1.0), 0.01)
    admission.acquire(95, client="a")
    admission.add_decoded(95)
    with pytest.raises(Overloaded, match="too long"):
        admission.acquire(1, client="a")
    admission.acquire(1, client="b")


def test_counts_of_clients_agree_with_their_permits() -> None:
    rng, admission = random.Random(3), Admission(200)
    held: list[tuple[str, int, bool]] = []
    for _ in range(5000):
        if held and rng.random() < 0.5:
            client, images, decoded = held.pop(rng.randrange(len(held)))
            admission.release(images, decoded=decoded, client=client)
        else:
            client, images, decoded = rng.choice("abcdef"), rng.randint(1, 20), rng.random() < 0.5
            try:
                admission.acquire(images, client=client)
            except Overloaded:
                continue
            if decoded:
                admission.add_decoded(images)
            held.append((client, images, decoded))
        assert admission.admitted == sum(images for _, images, _ in held) <= admission.limit
        assert admission.decoded == sum(images for _, images, decoded in held if decoded)
        counts: Counter[str] = Counter()
        for client, images, _ in held:
            counts[client] += images
        assert admission.clients == counts
