"""tritonclient's gRPC modules, with their messages in a descriptor pool of their own.

They and the KServe SDK both call their package "inference", and the common pool takes a name only once.
"""

from __future__ import annotations

from unittest import mock

import google.protobuf.json_format  # noqa: F401  before, for its own messages belong into the common pool
import grpc  # noqa: F401
from google.protobuf import descriptor_pool

with mock.patch.object(descriptor_pool, "Default", return_value=descriptor_pool.DescriptorPool()):
    import tritonclient.grpc as blocking  # type: ignore[import-untyped]
    import tritonclient.grpc.aio as asynchronous  # type: ignore[import-untyped]

__all__ = ["asynchronous", "blocking"]
