"""Keeps clients from filling the log of gRPC's library."""

from __future__ import annotations

import logging

LIBRARY_LOGGER = "grpc._cython.cygrpc"
# The library raises this if a client leaves while a response is sent, and logs it with its traceback.
_CLIENT_LEFT = "ExecuteBatchError"


class _ClientLeft(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(_CLIENT_LEFT)


_filter = _ClientLeft()


def silence_disconnects() -> None:
    """Log no error for a client that leaves; the metrics count its call as cancelled."""
    logging.getLogger(LIBRARY_LOGGER).addFilter(_filter)  # has no effect the second time
