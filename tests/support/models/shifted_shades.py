"""The gray classifier with each shade labelled as the next lighter one, to compare versions."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tests.support.models.gray_classifier import CENTERS, CLASSES, graph


def shifted_graph() -> bytes:
    model = onnx.load_from_string(graph())
    shifted = np.roll(CENTERS, 1).reshape(1, CLASSES).astype(np.float32)
    for tensor in model.graph.initializer:
        if tensor.name == "centers":
            tensor.CopyFrom(numpy_helper.from_array(shifted, "centers"))
    return bytes(model.SerializeToString())
