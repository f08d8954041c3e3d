from __future__ import annotations

import argparse

import pytest

from service.config.cli_flags import add_settings, as_flags, read_settings
from service.config.settings import Group, Settings
from service.errors import ConfigurationError
from tests.unit.service.config.test_environment import SERVICE_LINKS


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_settings(parser)
    return parser


def parse(parser: argparse.ArgumentParser, *arguments: str, **variables: str) -> Settings:
    return read_settings(parser.parse_args(arguments), variables)


def test_flag_overrides_its_variable(parser: argparse.ArgumentParser) -> None:
    assert parse(parser, "--port", "9001", CONVSERVE_PORT="9000", CONVSERVE_WORKERS="2") == Settings(
        port=9001, workers=2
    )


def test_booleans_are_flags_in_two_forms(parser: argparse.ArgumentParser) -> None:
    settings = parse(parser, "--access-log", "--no-security-headers", CONVSERVE_ACCESS_LOG="false")
    assert settings.access_log
    assert not settings.security_headers


def test_choices_ignore_case(parser: argparse.ArgumentParser) -> None:
    settings = parse(parser, "--log-level", "ERROR", CONVSERVE_LOG_FORMAT="JSON")
    assert (settings.log_level, settings.log_format) == ("error", "json")


@pytest.mark.parametrize(
    "arguments",
    [("--provider", "tpu"), ("--port", "abc"), ("--trace-ratio", "all")],
    ids=["choice", "integer", "number"],
)
def test_argparse_checks_the_types(parser: argparse.ArgumentParser, arguments: tuple[str, str]) -> None:
    with pytest.raises(argparse.ArgumentError, match=arguments[0]):
        parser.parse_args(arguments)


def test_error_names_the_flag_or_the_variable(parser: argparse.ArgumentParser) -> None:
    with pytest.raises(ConfigurationError, match=r"^--workers: "):
        parse(parser, "--workers", "0")
    with pytest.raises(ConfigurationError, match=r"^CONVSERVE_WORKERS: "):
        parse(parser, CONVSERVE_WORKERS="0")
    with pytest.raises(ConfigurationError, match=r"^CONVSERVE_WORKERS: "):
        parse(parser, CONVSERVE_WORKERS="many")


def test_help_lists_groups_types_and_defaults(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    assert all(f"{group}: --" in text for group in Group)
    assert "--provider {auto,cpu,cuda} " in text
    assert "--port INT TCP port of HTTP; 0 picks a free one. (default: 8000)" in text
    assert "--access-log, --no-access-log " in text
    assert "--api-keys " not in text


def test_as_flags_is_read_back(parser: argparse.ArgumentParser) -> None:
    values = {"port": 9000, "access_log": True, "security_headers": False, "log_level": "error"}
    assert parse(parser, *as_flags(values)) == Settings(**values)  # type: ignore[arg-type]


def test_kubernetes_variables_are_reported_once(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse(parser, **SERVICE_LINKS) == Settings()
    (warning,) = capsys.readouterr().err.splitlines()
    assert all(name in warning for name in SERVICE_LINKS)
