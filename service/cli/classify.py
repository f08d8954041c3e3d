"""The command `convserve classify`."""

from __future__ import annotations

import argparse
import signal

from ..bulk.interruption import Interrupted
from ..bulk.options import Options
from ..bulk.rows import Query
from ..bulk.run import classify_files
from ..config.settings import Settings
from .exit_codes import ExitCode


def classify(
    settings: Settings, arguments: argparse.Namespace, key: str | None, log_level: str
) -> ExitCode | signal.Signals:
    """Classify the images; returns FAILED if one of them cannot be classified, or the signal that ended it.

    Args:
        key: the API key for a server.
        log_level: the lowest level that is logged.

    Raises:
        ConvserveError: no image can be classified, or the output cannot be written.
    """
    options = Options(
        arguments=arguments.images,
        null=arguments.null,
        query=Query(arguments.model, arguments.model_version, arguments.top_k),
        url=arguments.url,
        key=key,
        workers=arguments.workers,
        format=arguments.format,
        output=arguments.output,
        resume=arguments.resume,
        log_level=log_level,
    )
    try:
        return ExitCode.OK if classify_files(settings, options) else ExitCode.FAILED
    except Interrupted as error:
        return error.signal
