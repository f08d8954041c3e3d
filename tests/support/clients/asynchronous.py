"""Triton's asynchronous clients with the interface of the blocking ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Asynchronous:
    """Wraps the asynchronous client of `module`; each call runs in its own event loop."""

    def __init__(self, module: Any, address: str) -> None:
        self._module = module
        self._address = address

    def __enter__(self) -> Asynchronous:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            async with self._module.InferenceServerClient(self._address) as client:
                return await getattr(client, name)(*args, **options)

        return lambda *args, **options: asyncio.run(call(*args, **options))
