from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from service.loadgen.options import add_options


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    options = parse()
    assert (options.url, options.images, options.protocol, options.p99) == (None, [], "native", 15.0)


@pytest.mark.parametrize("flag", ["--image", "--picture"])
def test_images_are_given_by_the_flag_or_its_former_name(flag: str) -> None:
    assert parse(flag, "a.png", "b.png").images == [Path("a.png"), Path("b.png")]


@pytest.mark.parametrize(("text", "milliseconds"), [("15ms", 15.0), ("0.5s", 500.0), ("7", 7.0)])
def test_time_with_a_unit_is_converted_to_milliseconds(text: str, milliseconds: float) -> None:
    assert parse("--p99", text).p99 == milliseconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--p99", "soon"], "must be a time such as 15ms or 0.5s, not 'soon'"),
        (["--p99", "0ms"], "must be a time"),
        (["--connections", "0"], "must be a whole number of at least 1, not '0'"),
        (["--generators", "1.5"], "must be a whole number of at least 1, not '1.5'"),
        (["--rate", "inf"], "must be a number above 0, not 'inf'"),
        (["--duration", "nan"], "must be a number above 0, not 'nan'"),
        (["--protocol", "smtp"], "invalid choice"),
    ],
)
def test_invalid_value_is_rejected_with_the_expected_form(arguments: list[str], message: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=message):
        parse(*arguments)
