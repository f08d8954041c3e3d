"""Triton's log and trace settings can be read, but not changed."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient

from tests.support.http.errors import assert_error

PATHS = ["/v2/logging", "/v2/trace/setting", "/v2/models/shades/trace/setting"]


@pytest.mark.parametrize("path", PATHS)
def test_current_values_are_returned_and_accepted(client: TestClient, path: str) -> None:
    settings = client.get(path).json()
    assert settings
    for sent in (None, {}, settings, dict.fromkeys(settings)):
        response = client.post(path) if sent is None else client.post(path, json=sent)
        assert (response.status_code, response.json()) == (200, settings)


@pytest.mark.parametrize("sent", [{"trace_level": "OFF"}, {"trace_level": ["OFF"]}, {"trace_rate": ["0"]}])
def test_value_equals_a_list_of_one(client: TestClient, sent: object) -> None:
    assert client.post("/v2/trace/setting", json=sent).json() == client.get("/v2/trace/setting").json()


def test_log_settings_reflect_the_log_level(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings = client.get("/v2/logging").json()
    assert (settings["log_info"], settings["log_warning"], settings["log_verbose_level"]) == (False, True, 0)


@pytest.mark.parametrize(
    ("path", "sent", "sentence"),
    [
        ("/v2/logging", {"log_verbose_level": 3}, "log_verbose_level is fixed .* CONVSERVE_LOG"),
        ("/v2/logging", {"log_colour": True}, "unknown setting 'log_colour'"),
        (
            "/v2/trace/setting",
            {"trace_level": ["TIMESTAMPS"]},
            "trace_level is fixed .* it does not support Triton",
        ),
        ("/v2/trace/setting", [], "the body: Input should be an? .*; expected an object of settings"),
    ],
)
def test_change_is_rejected(client: TestClient, path: str, sent: object, sentence: str) -> None:
    assert_error(client.post(path, json=sent), 400, sentence)


def test_trace_settings_of_an_unknown_model(client: TestClient) -> None:
    assert_error(client.get("/v2/models/none/trace/setting"), 404, "no model 'none' is served")
