"""ONNX Runtime sessions and CUDA graphs."""

import os

# ONNX Runtime reads it when it is imported, and otherwise reports its use and writes to the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
