from __future__ import annotations

from collections.abc import Sequence

from service.loadgen.results.response_checker import ResponseChecker, Tally


def parse(body: bytes) -> Sequence[str]:
    if not body:
        raise ValueError("empty body")
    return (body.decode()[0],)


def test_different_labels_for_the_same_request_are_incorrect() -> None:
    tally = Tally()
    checker = ResponseChecker(parse, tally)
    assert checker.is_correct(0, b"7, surely")
    assert checker.is_correct(0, b"7, perhaps")
    assert checker.is_correct(1, b"3")
    assert not checker.is_correct(0, b"3")
    assert tally.incorrect == 1
    assert tally.first_error == "request 0 got the labels ['7'] first and ['3'] later"


def test_invalid_response_is_incorrect() -> None:
    tally = Tally()
    assert not ResponseChecker(parse, tally).is_correct(0, b"")
    assert tally.first_error is not None
    assert "empty body" in tally.first_error


def test_different_labels_from_two_generators_are_incorrect() -> None:
    tallies = [Tally(), Tally()]
    for tally, body in zip(tallies, (b"7", b"1"), strict=True):
        ResponseChecker(parse, tally).is_correct(0, body)
        tally.completed, tally.offered = 1, 2
    tallies[0].add(tallies[1])
    assert (tallies[0].incorrect, tallies[0].completed, tallies[0].offered) == (1, 2, 4)
