"""An open graph for inspection: it returns the outputs of layers, and gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..errors import InvalidModel


class InspectSession:
    """A session on one thread of the CPU, without prepacked copies of weights, which repay in long use.

    Args:
        path: the graph.
        weights: the initializers that the graph takes from other files; they are kept, not copied.

    Raises:
        InvalidModel: ONNX Runtime cannot open the graph.
    """

    def __init__(self, path: Path, weights: Mapping[str, NDArray[Any]]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.disable_prepacking", "1")
        self._weights = weights
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no other common base class
            first_line = str(error).strip().split("\n", 1)[0][:300]
            raise InvalidModel(f"{path.name} cannot be opened by ONNX Runtime: {first_line}") from error

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """The values of some outputs, by name."""
        values = self._session.run(list(names), dict(inputs))
        return dict(zip(names, values, strict=True))
