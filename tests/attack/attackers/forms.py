"""Forms whose headers or images are expensive."""

from __future__ import annotations

from tests.attack.attacker import Attack, Attacker, post
from tests.attack.attackers.large_images import flat_png

SEMICOLONS = 31_500
PARTS = 40
LINE = 16_000
LARGE = 171
MOST_PARTS = 100_000


class HeaderParameters(Attack):
    """Parameters of headers that take quadratic time in some parsers."""

    name = "header parameters"

    def __init__(self) -> None:
        lines = (
            'form-data; name="' + ";" * LINE,
            "form-data" + ";" * LINE,
            'form-data; name="' + "\\" * LINE,
            "form-data; filename*=utf-8''" + "%41" * (LINE // 3),
        )
        types = (f"multipart/form-data;{start}" + ";" * SEMICOLONS for start in ('"', "", '\\"'))
        self._requests = [post("/classify", b"x", f"Content-Type: {media_type}") for media_type in types]
        self._requests += [form([line.encode()] * PARTS, b"x") for line in lines]

    def play(self, attacker: Attacker) -> None:
        for request in self._requests:
            attacker.attempt(attacker.send, request)
            attacker.pause(0.1)


class LargeForm(Attack):
    """A form of 171 images of 50 megapixels in 33 MB."""

    name = "large form"

    def __init__(self) -> None:
        line = b'form-data; name="image"; filename="large.png"'
        self._request = form([line] * LARGE, flat_png("RGBA"))

    def play(self, attacker: Attacker) -> None:
        attacker.send(self._request)


class ManyParts(Attack):
    """A form of a hundred thousand parts without content."""

    name = "many parts"

    def __init__(self) -> None:
        self._request = form([b'form-data; name="x"'] * MOST_PARTS, b"")

    def play(self, attacker: Attacker) -> None:
        attacker.send(self._request)
        attacker.pause(0.2)


def form(lines: list[bytes], content: bytes) -> bytes:
    """A request whose form has a part for each Content-Disposition line."""
    parts = [b"--edge\r\nContent-Disposition: " + line + b"\r\n\r\n" + content + b"\r\n" for line in lines]
    return post(
        "/classify", b"".join([*parts, b"--edge--\r\n"]), "Content-Type: multipart/form-data; boundary=edge"
    )
