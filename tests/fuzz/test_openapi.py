"""Fuzzes a server process with valid and invalid requests generated from its OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from service.asgi.app import create_app
from service.config.settings import Settings
from tests.fuzz.conftest import FACTOR
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

Case = schemathesis.Case[Any]
# Intended server errors: not supported, not ready, deadline passed.
INTENDED = (501, 503, 504)
EXAMPLES = 12 * FACTOR
PATH_PARAMETERS = {"name": "shades", "version": "1", "label": "stable", "file": "example.png"}


@pytest.fixture(scope="session")
def description(server: ServerProcess) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def operations() -> list[str]:
    """All operations, as `METHOD /path`."""
    paths = create_app(Settings()).openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def test_description_is_valid(description: schemathesis.BaseSchema) -> None:
    description.validate()


@pytest.mark.parametrize("label", operations())
def test_responses_match_the_description(
    label: str, description: schemathesis.BaseSchema, session: requests.Session, server: ServerProcess
) -> None:
    operation = description.find_operation_by_label(label)
    assert operation is not None
    good, bad = (operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(good | bad)
    def try_it(case: Case) -> None:
        ask(case, session)
        if case.path_parameters:
            case.path_parameters.update({key: PATH_PARAMETERS[key] for key in case.path_parameters})
            ask(case, session)

    try_it()
    if label.endswith("/unload"):  # the other operations need the model
        load = f"{server.url}/v2/repository/models/shades/load"
        assert session.post(load, timeout=DEADLINE).status_code == 200


def ask(case: Case, session: requests.Session) -> None:
    response = case.call(session=session, timeout=DEADLINE)
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    if response.status_code not in INTENDED:
        checks.append(not_a_server_error)
    case.validate_response(response, checks=checks)
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"]
        assert [*response.json()] == ["error"]
        assert isinstance(response.json()["error"], str)
