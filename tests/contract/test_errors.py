from __future__ import annotations

import pytest

from service import errors
from service.errors import ConvserveError
from service.protocols.shared.status_codes import STATUS_BY_ERROR

GRPC = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
}


def family(root: type[ConvserveError]) -> list[type[ConvserveError]]:
    return [root, *(error for child in root.__subclasses__() for error in family(child))]


@pytest.mark.parametrize("error", family(ConvserveError))
def test_error_has_a_row_in_the_status_table(error: type[ConvserveError]) -> None:
    status = STATUS_BY_ERROR[error]
    assert 400 <= status.http < 600
    assert status.grpc in GRPC


@pytest.mark.parametrize("error", family(ConvserveError))
def test_docstring_tree_names_the_error(error: type[ConvserveError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")
