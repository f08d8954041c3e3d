"""Classifies many images over a few parallel connections, many images per form."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.support.http.client import HttpResponse
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

CONNECTIONS = 4
IMAGES_PER_FORM = 100
BOUNDARY = "between-two-images"


def classify(server: ServerProcess, model: str, images: Sequence[bytes]) -> list[int]:
    """Return the class index of each encoded image."""
    forms = [
        _form(images[start : start + IMAGES_PER_FORM]) for start in range(0, len(images), IMAGES_PER_FORM)
    ]
    shares = [forms[first::CONNECTIONS] for first in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        responses = list(pool.map(lambda share: _post_forms(server, model, share), shares))
    in_order = [responses[index % CONNECTIONS][index // CONNECTIONS] for index in range(len(forms))]
    return [index for indices in in_order for index in indices]


def _form(images: Sequence[bytes]) -> bytes:
    """Return a multipart/form-data body of files."""
    disposition = 'Content-Disposition: form-data; name="images"; filename="{}"'
    parts = [
        f"--{BOUNDARY}\r\n{disposition.format(index)}\r\n\r\n".encode() + image + b"\r\n"
        for index, image in enumerate(images)
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def _post_forms(server: ServerProcess, model: str, forms: Sequence[bytes]) -> list[list[int]]:
    """Posts each form over one connection."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    indices = []
    with closing(http.client.HTTPConnection(*server.address, timeout=DEADLINE)) as connection:
        for form in forms:
            connection.request("POST", f"/models/{model}/classify?top_k=1", form, headers)
            response = HttpResponse.read(connection.getresponse())
            assert response.status == 200, response.body
            indices.append([prediction["index"] for prediction in response.json["predictions"]])
    return indices
