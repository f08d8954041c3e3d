"""The peer: what one writes in an afternoon. FastAPI, an upload, Pillow, and the session run where it stands.

python -m benchmarks.naive MODEL.onnx --port 8001
"""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # a benchmark reports to nobody
import onnxruntime


def create_app(model: Path) -> FastAPI:
    """Serve one graph, `[n, height, width, 1]` of uint8 to class scores, with the labels of its manifest."""
    labels = json.loads((model.parent / "manifest.json").read_text())["labels"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (pixels,) = session.get_inputs()
    _, height, width, _ = pixels.shape
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/classify")
    async def classify(image: UploadFile) -> dict[str, Any]:
        picture = Image.open(io.BytesIO(await image.read())).convert("L").resize((width, height))
        rows = np.asarray(picture)[np.newaxis, :, :, np.newaxis]
        (scores,) = session.run(None, {pixels.name: rows})
        best = int(scores[0].argmax())
        return {"label": labels[best], "probability": float(scores[0][best])}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, default=8001)
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.model), port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
