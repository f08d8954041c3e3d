"""The short way for PNGs that need no conversion gives the rows and the errors of Pillow's reader."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import Decoder
from service.imaging.plain_png import PlainPng
from service.repository.manifest import InputSpec
from tests.support.images.image_cases import CASES, Array, encode, png, png_chunk

ROWS = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
ROWS[:, ::2] = 200  # so that the rows have several filters


def spec(channels: int, **changes: object) -> InputSpec:
    usual = {
        "name": "image",
        "dtype": "uint8",
        "layout": "NHWC",
        "height": 9,
        "width": 7,
        "channels": channels,
        "resize": "fit",
        "polarity": None,
        "scale": None,
        "mean": None,
        "std": None,
    }
    return InputSpec.model_validate(usual | changes)


def plain(channels: int) -> bytes:
    return encode(ROWS[..., 0] if channels == 1 else ROWS, "PNG")


def outcome(decoder: Decoder, data: bytes, *, short: bool) -> tuple[str, object]:
    """The row, or the error, by the short way if there is one, or by Pillow's reader."""
    try:
        row = decoder.read(data, decoder.inspect(data)) if short else decoder.decode(decoder.open(data))
    except InvalidImage as error:
        return "error", str(error)
    return "row", row.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layout": "NCHW"},
        {"polarity": "light-on-dark"},
        {"polarity": "dark-on-light"},
        {"dtype": "float32", "scale": 1 / 255},
    ],
    ids=lambda changes: "-".join(changes) or "usual",
)
def test_plain_png_has_the_pixels_of_pillow(channels: int, changes: dict[str, object]) -> None:
    decoder, data = Decoder(spec(channels, **changes), max_pixels=100), plain(channels)

    assert PlainPng(7, 9, channels).matches(data)
    assert PlainPng(7, 9, channels).unpack(data) == ROWS[..., :channels].tobytes()
    assert outcome(decoder, data, short=True) == outcome(decoder, data, short=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_header_is_that_of_any_png(channels: int) -> None:
    decoder, data = Decoder(spec(channels), max_pixels=100), plain(channels)
    # A text before the pixels does not change the header.
    other = data[:33] + png_chunk(b"tEXt", b"a\0b") + data[33:]

    assert decoder.inspect(data) == decoder.inspect(other)
    assert PlainPng(7, 9, channels).matches(data)
    assert not PlainPng(7, 9, channels).matches(other)


def test_texts_are_counted() -> None:
    data = plain(1)
    texts = png_chunk(b"iCCP", zlib.compress(bytes(1000))) * 33

    with pytest.raises(InvalidImage, match="33 packed texts"):
        Decoder(spec(1), max_pixels=100).inspect(data[:33] + texts + data[33:])


@pytest.mark.parametrize("name", CASES)
def test_every_other_image_is_decoded_by_pillow(name: str) -> None:
    data = CASES[name].data
    for channels in (1, 3):
        decoder = Decoder(spec(channels, height=20, width=30), max_pixels=1_000_000)
        assert outcome(decoder, data, short=True) == outcome(decoder, data, short=False)


def rows_of(channels: int) -> Array:
    return ROWS[..., :channels].reshape(9, -1)


@pytest.mark.parametrize(
    "data",
    {
        "other size": encode(ROWS[:8, :, 0], "PNG"),
        "other mode": encode(ROWS, "PNG"),
        "palette": encode(Image.fromarray(ROWS).quantize(16), "PNG"),
        "transparent": png((7, 9), 8, 0, rows_of(1), png_chunk(b"tRNS", b"\0\xc8")),
        "chunk before the pixels": plain(1)[:33] + png_chunk(b"gAMA", b"\0\0\xb1\x8f") + plain(1)[33:],
        "chunk after the pixels": plain(1)[:-12] + png_chunk(b"tIME", bytes(7)) + plain(1)[-12:],
        "two chunks of pixels": plain(1)[:-12] + png_chunk(b"IDAT", b"") + plain(1)[-12:],
        "bytes after the end": plain(1) + b"\0",
        "no end": plain(1)[:-12],
        "only the head and the end": plain(1)[:33] + plain(1)[-12:],
        "too few rows": png((7, 9), 8, 0, rows_of(1)[:8]),
        "too many rows": png((7, 9), 8, 0, np.concatenate([rows_of(1)] * 3)),
        "unknown filter": plain(1)[:33]
        + png_chunk(b"IDAT", zlib.compress(b"\x07" + bytes(7) * 9))
        + plain(1)[-12:],
    }.items(),
    ids=lambda item: item[0],
)
def test_png_of_another_kind_is_left_to_pillow(data: tuple[str, bytes]) -> None:
    name, body = data
    decoder, short = Decoder(spec(1), max_pixels=100), PlainPng(7, 9, 1)

    # Pillow, too, leaves missing rows black, and ignores what follows the last row.
    assert name in ("too few rows", "too many rows") or not short.matches(body) or short.unpack(body) is None
    assert outcome(decoder, body, short=True) == outcome(decoder, body, short=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_damaged_png_has_the_outcome_of_pillow(channels: int) -> None:
    decoder, data, chance = Decoder(spec(channels), max_pixels=100), plain(channels), random.Random(channels)
    errors = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(data))] = chance.randrange(256)
        body = bytes(damaged[: chance.choice([len(data), len(data), chance.randrange(len(data))])])
        expected = outcome(decoder, body, short=False)
        errors += expected[0] == "error"
        assert outcome(decoder, body, short=True) == expected
    assert 300 < errors < 2900


def test_size_that_is_never_decoded_has_no_short_way() -> None:
    decoder, data = Decoder(spec(1), max_pixels=62), plain(1)

    with pytest.raises(InvalidImage, match="7x9 pixels; at most 62 are decoded"):
        decoder.inspect(data)


def test_pillow_reads_the_file_if_its_codec_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, data = Decoder(spec(1), max_pixels=100), plain(1)
    expected = outcome(decoder, data, short=False)
    monkeypatch.setattr(PlainPng, "_rows", lambda *arguments: exec("raise AttributeError"))

    assert PlainPng(7, 9, 1).unpack(data) is None
    assert outcome(decoder, data, short=True) == expected
