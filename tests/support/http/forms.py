"""Many pictures classified over a few connections at once, each of them kept for many forms."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.support.http.answer import Answer
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

CONNECTIONS = 4
PICTURES_A_FORM = 100
BOUNDARY = "between-two-pictures"


def classify(server: ServerProcess, model: str, pictures: Sequence[bytes]) -> list[int]:
    """The index of the class that each encoded picture is given."""
    bodies = [
        _form(pictures[start : start + PICTURES_A_FORM]) for start in range(0, len(pictures), PICTURES_A_FORM)
    ]
    shares = [bodies[first::CONNECTIONS] for first in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answered = list(pool.map(lambda share: _converse(server, model, share), shares))
    in_order = [answered[place % CONNECTIONS][place // CONNECTIONS] for place in range(len(bodies))]
    return [index for indices in in_order for index in indices]


def _form(pictures: Sequence[bytes]) -> bytes:
    """A multipart/form-data body of files."""
    disposition = 'Content-Disposition: form-data; name="images"; filename="{}"'
    parts = [
        f"--{BOUNDARY}\r\n{disposition.format(place)}\r\n\r\n".encode() + picture + b"\r\n"
        for place, picture in enumerate(pictures)
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def _converse(server: ServerProcess, model: str, bodies: Sequence[bytes]) -> list[list[int]]:
    """Post each body over one connection."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    indices = []
    with closing(http.client.HTTPConnection(*server.address, timeout=DEADLINE)) as connection:
        for body in bodies:
            connection.request("POST", f"/models/{model}/classify?top_k=1", body, headers)
            answer = Answer.read(connection.getresponse())
            assert answer.status == 200, answer.body
            indices.append([prediction["index"] for prediction in answer.json["predictions"]])
    return indices
