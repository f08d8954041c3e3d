"""The baseline: a minimal FastAPI server with uploads, Pillow, and ONNX Runtime in the event loop.

python -m benchmarks.baselines.fastapi_server MODEL.onnx --port 8001 --workers 2
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, UploadFile
from numpy.typing import NDArray
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # no network traffic during a benchmark
import onnxruntime

from benchmarks.baselines import command_line

MODEL = "BENCHMARKS_MODEL"  # environment variable with the model's path


class Classifier:
    """Runs a graph from uint8 `[n, height, width, channels]` to class scores, with one thread."""

    def __init__(self, model: Path) -> None:
        self.labels = json.loads((model.parent / "manifest.json").read_text())["labels"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        (pixels,) = self.session.get_inputs()
        self.input = pixels.name
        _, height, width, channels = pixels.shape
        self.size = (width, height)
        self.mode = "L" if channels == 1 else "RGB"

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        file = Image.open(io.BytesIO(data))
        file.draft(self.mode, self.size)  # decodes a JPEG at a reduced size if possible
        image: Image.Image = file
        if image.mode != self.mode or image.size != self.size:
            image = ImageOps.fit(image.convert(self.mode), self.size)
        pixels = np.asarray(image)
        return pixels[:, :, np.newaxis] if self.mode == "L" else pixels

    def run(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.session.run(None, {self.input: rows})[0]
        return scores

    def classify(self, files: Sequence[bytes]) -> list[dict[str, Any]]:
        scores = self.run(np.stack([self.decode(file) for file in files]))
        best = scores.argmax(axis=1)
        return [
            {"label": self.labels[index], "probability": float(row[index])}
            for index, row in zip(best, scores, strict=True)
        ]


def create_app() -> FastAPI:
    classifier = Classifier(Path(os.environ[MODEL]))
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/classify")
    async def classify(image: UploadFile) -> dict[str, Any]:
        return {"predictions": classifier.classify([await image.read()])}

    @app.post("/classify/raw")
    async def classify_raw(request: Request) -> dict[str, Any]:
        return {"predictions": classifier.classify([await request.body()])}

    @app.post("/classify/many")
    async def classify_many(images: list[UploadFile]) -> dict[str, Any]:
        return {"predictions": classifier.classify([await image.read() for image in images])}

    @app.post("/infer")
    async def infer(request: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": classifier.run(np.asarray(request["instances"], np.uint8)).tolist()}

    return app


if __name__ == "__main__":
    command_line.serve("benchmarks.baselines.fastapi_server", __doc__, MODEL)
