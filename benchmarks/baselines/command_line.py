"""Runs a baseline server: a module whose `create_app` reads the model's path from the environment."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn


def serve(module: str, description: str | None, variable: str, *, model_required: bool = True) -> None:
    """Serve the application of `module` with uvicorn.

    Args:
        variable: the environment variable that passes the model's path to the worker processes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path, nargs=None if model_required else "?")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.model is not None:
        os.environ[variable] = str(arguments.model)
    uvicorn.run(
        f"{module}:create_app",
        factory=True,
        port=arguments.port,
        workers=arguments.workers,
        access_log=False,
        log_level="warning",
    )
