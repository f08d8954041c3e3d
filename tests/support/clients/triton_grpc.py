"""tritonclient's gRPC modules, with their messages in a separate descriptor pool.

tritonclient and the KServe SDK both define the package "inference", which the default pool accepts once.
"""

from __future__ import annotations

from unittest import mock

import google.protobuf.json_format  # noqa: F401  first, because its messages belong in the default pool
import grpc  # noqa: F401
from google.protobuf import descriptor_pool

with mock.patch.object(descriptor_pool, "Default", return_value=descriptor_pool.DescriptorPool()):
    import tritonclient.grpc as blocking  # type: ignore[import-untyped]
    import tritonclient.grpc.aio as asynchronous  # type: ignore[import-untyped]

__all__ = ["asynchronous", "blocking"]
