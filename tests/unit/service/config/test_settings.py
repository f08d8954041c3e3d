from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config.settings import Settings, shipped_models


def test_defaults_need_no_environment() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.models == shipped_models()


def test_the_environment_is_read_and_a_given_value_outranks_it() -> None:
    environment = {"CONVSERVE_PORT": "9000", "convserve_models": "/somewhere", "CONVSERVE_ACCESS_LOG": "yes"}
    settings = Settings.of(environment, {})
    assert (settings.port, settings.models, settings.access_log) == (9000, Path("/somewhere"), True)
    assert Settings.of(environment, {"port": "9001"}).port == 9001


def test_other_variables_are_none_of_its_business() -> None:
    assert Settings.of({"CONVSERVE_PROT": "1", "PORT": "1", "CONVSERVE_": "1"}, {}) == Settings()


@pytest.mark.parametrize("value", ["", "many", "0"])
def test_a_variable_is_checked_like_a_flag(value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.of({"CONVSERVE_WORKERS": value}, {})
    assert caught.value.errors()[0]["loc"] == ("workers",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"workers": 0},
        {"provider": "tpu"},
        {"queue_limit": 10},
        {"request_timeout_ms": 0},
        {"prot": 1},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1
