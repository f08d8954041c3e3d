from __future__ import annotations

import argparse

import pytest

from service.cli.arguments import build_parser
from service.cli.exit_codes import ExitCode

COMMANDS = ("serve", "classify", "explain", "faithfulness", "bench", "check", "health", "key")


def subparsers() -> dict[str, argparse.ArgumentParser]:
    (action,) = (each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_command_has_a_parser() -> None:
    assert tuple(subparsers()) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_a_help_text(command: str) -> None:
    missing = [action.dest for action in subparsers()[command]._actions if not action.help]
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_can_be_formatted(command: str) -> None:
    assert subparsers()[command].format_help().startswith(f"usage: convserve {command}")


def test_former_name_of_image_is_hidden() -> None:
    text = subparsers()["bench"].format_help()
    assert "--image" in text
    assert "--picture" not in text


@pytest.mark.parametrize("top_k", ["0", "-1", "1.5", "many"])
def test_top_k_below_one_is_a_usage_error(top_k: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["classify", f"--top-k={top_k}", "a.png"])
    assert ended.value.code == ExitCode.USAGE_ERROR
    assert "must be a whole number of at least 1" in capsys.readouterr().err


def test_exit_codes_are_described() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3]
    assert all(code.description.endswith(".") for code in ExitCode)
