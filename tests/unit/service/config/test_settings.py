from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.config.settings import Settings, settings_by_group, shipped_models


def test_settings_have_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.models == shipped_models()


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
def test_settings_reject_invalid_values(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_choices_ignore_case() -> None:
    settings = Settings(log_level="INFO", log_format="Json", provider="CPU")  # type: ignore[arg-type]
    assert (settings.log_level, settings.log_format, settings.provider) == ("info", "json", "cpu")


def test_every_setting_has_a_group_and_a_description() -> None:
    grouped = [name for names in settings_by_group().values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)
    assert all(settings_by_group().values())
    descriptions = [field.description or "" for field in Settings.model_fields.values()]
    assert all(descriptions)
    assert not any("](" in description for description in descriptions), "a link is unreadable in --help"
