"""AlexNet as tf2onnx writes it, untrained and without the rewrites of the export.

python -m benchmarks.plain FILE.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

from export.architectures import alexnet
from export.architectures.pixels import from_pixels
from export.convert import convert


def main(arguments: list[str]) -> int:
    (path,) = arguments
    Path(path).write_bytes(convert(from_pixels(alexnet.build())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
