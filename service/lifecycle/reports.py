"""Tells operators about models that are not served as they lie on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .plans import UNLOADED, Failure, ModelReport

if TYPE_CHECKING:  # it imports NumPy, which the supervisor does without
    from ..inference.registry import LoadFailure

logger = logging.getLogger(__name__)


def nothing_to_serve(repository: str, failures: Sequence[Failure | LoadFailure]) -> str:
    """The message of a repository without a version that could be loaded."""
    if not failures:
        return f"nothing to serve: {repository} contains no <name>/<version>/ folder"
    reasons = "; ".join(f"{f.name} version {f.version}: {f.reason}" for f in failures)
    return f"nothing to serve: every version in {repository} failed to load: {reasons}"


def log_change(before: ModelReport, after: ModelReport) -> None:
    known = {(failure.version, failure.reason) for failure in before.failures}
    for failure in after.failures:
        if (failure.version, failure.reason) not in known:
            logger.error("%s version %s is not served: %s", failure.name, failure.version, failure.reason)
    if after.problem is not None and after.problem != before.problem:
        level = logging.INFO if after.problem == UNLOADED else logging.WARNING
        logger.log(level, "%s: %s", after.name, after.problem)
