"""Serves ONNX image classifiers over HTTP and gRPC.

`create_app`, `Settings` and `__version__` are the public interface. Every submodule is internal and may
change in any release.

    from pathlib import Path

    from convserve.service import Settings, create_app

    app = create_app(Settings(models=Path("models")))

The application runs under any ASGI server that supports the lifespan protocol and loads its models at
startup. API keys, TLS, connection limits, gRPC, worker processes and access logs belong to the command
`convserve serve` and not to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asgi.app import create_app
    from .config.settings import Settings

__all__ = ["Settings", "__version__", "create_app"]

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import service` loads no web framework.

    Raises:
        AttributeError: the package exports no such name.
    """
    if name == "create_app":
        from .asgi.app import create_app

        return create_app
    if name == "Settings":
        from .config.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
