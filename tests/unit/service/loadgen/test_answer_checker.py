from __future__ import annotations

from collections.abc import Sequence

from service.loadgen.results.answer_checker import Checker, Tally


def read(body: bytes) -> Sequence[str]:
    if not body:
        raise ValueError("nothing in it")
    return (body.decode()[0],)


def test_the_same_request_must_be_labelled_alike() -> None:
    tally = Tally()
    checker = Checker(read, tally)
    assert checker.is_right(0, b"7, surely")
    assert checker.is_right(0, b"7, perhaps")
    assert checker.is_right(1, b"3")
    assert not checker.is_right(0, b"3")
    assert (tally.wrong, tally.complaint) == (1, "request 0 was first answered ['7'] and then ['3']")


def test_what_is_no_answer_is_wrong() -> None:
    tally = Tally()
    assert not Checker(read, tally).is_right(0, b"")
    assert tally.complaint is not None
    assert "nothing in it" in tally.complaint


def test_two_generators_must_agree() -> None:
    tallies = [Tally(), Tally()]
    for tally, body in zip(tallies, (b"7", b"1"), strict=True):
        Checker(read, tally).is_right(0, body)
        tally.completed, tally.offered = 1, 2
    tallies[0].add(tallies[1])
    assert (tallies[0].wrong, tallies[0].completed, tallies[0].offered) == (1, 2, 4)
