"""ONNX Runtime, imported so that it keeps what it is used for to itself."""

from __future__ import annotations

import os

# Read while it is imported: it would else report to its makers and keep files in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
