"""Writes AlexNet as tf2onnx converts it, untrained and without the rewrites of the export.

python -m benchmarks.cases.keras_graph FILE.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

from export.graph.convert import convert
from export.networks import alexnet
from export.networks.preprocessing import from_pixels


def main(arguments: list[str]) -> int:
    (path,) = arguments
    Path(path).write_bytes(convert(from_pixels(alexnet.build())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
