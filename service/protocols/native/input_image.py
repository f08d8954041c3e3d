"""`POST …/input`: an image as the network receives it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request

from ...client_budget import Account
from ...config.limits import Limits
from ...errors import InvalidInput
from ...http.scope_extensions import ACCOUNT
from ...imaging.png_writer import write_png
from ...inference.data_plane import DataPlane
from ...security.api_keys import Scope
from ..shared.openapi import BINARY, error_responses, operation_id, path_parameters
from ..shared.request_body import read_body
from ..shared.responses import EncodedResponse
from ..shared.routes import add_route
from .image_body import read_images
from .openapi import request_body

PATHS = ("/models/{name}/input", "/models/{name}/versions/{version}/input")
DESCRIPTION = """Returns the pixels that the network receives for one image, as a PNG of the input's size:
after rotation, cropping, resizing and inversion, and before they become floating-point numbers.
"""
CONTENT_TYPE = (b"content-type", b"image/png")
# A page shows the picture only where it asked for it.
POLICY = (b"content-security-policy", b"default-src 'none'; sandbox")
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The input.", "content": {"image/png": BINARY}},
    **error_responses(),
}


@dataclass(frozen=True, slots=True)
class InputImage:
    plane: DataPlane
    limits: Limits

    def mount(self, app: FastAPI) -> None:
        for path in PATHS:
            add_route(
                app,
                path,
                self.respond,
                scope=Scope.INFER,
                methods=["POST"],
                name="input",
                summary="The input of the network",
                description=DESCRIPTION,
                responses=_RESPONSES,
                openapi_extra={"parameters": path_parameters(path), "requestBody": request_body()},
                operation_id=operation_id("input", path),
                tags=["classify"],
            )

    async def respond(self, request: Request) -> EncodedResponse:
        model = self.plane.registry.resolve_named(request.scope["path_params"])
        deadline = asyncio.get_running_loop().time() + self.limits.request_timeout
        account: Account = request.scope.get(ACCOUNT) or Account.unlimited()
        body = await read_body(request, self.limits.max_body_bytes)
        headers: dict[bytes, bytes] = dict(reversed(request.scope["headers"]))
        images = await read_images(
            self.plane.texts, headers, body, self.limits, account=account, deadline=deadline
        )
        if len(images) != 1:
            raise InvalidInput(f"the request has {len(images)} images; the input is returned for one")
        pixels = await self.plane.classifier.input_pixels(
            model, images[0], deadline=deadline, account=account
        )
        job = partial(write_png, pixels)
        png = await self.plane.texts.run(job, size=pixels.nbytes, account=account, deadline=deadline)
        return EncodedResponse(png, CONTENT_TYPE, POLICY)
