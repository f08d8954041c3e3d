from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, shipped_models


def test_defaults_need_no_environment() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.models == shipped_models()


def test_the_environment_is_read_and_a_given_value_outranks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSERVE_PORT", "9000")
    monkeypatch.setenv("CONVSERVE_MODELS", "/somewhere")
    assert Settings().port == 9000
    assert Settings().models == Path("/somewhere")
    assert Settings(port=9001).port == 9001


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
