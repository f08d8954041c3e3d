"""Valid and damaged images of every format and mode, against their expected pixels."""

from __future__ import annotations

import gc
import gzip
import io
import json
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import service.imaging.decoder as decoder_module
from service.errors import InvalidImage
from service.imaging import flatten
from service.imaging.decoder import Decoder
from service.imaging.orientation import ORIENTATION_KEYS, read_orientation
from service.imaging.polarity import is_light
from service.repository.manifest import InputSpec
from tests.support.images.bombs import MAX_PIXELS, Cost, bombs
from tests.support.images.image_cases import (
    CASES,
    FLOAT,
    GREY,
    GREY_CASES,
    RGB,
    Array,
    encode,
    exif,
    luma,
    png_chunk,
    rgb_of,
)

ROOT = Path(__file__).resolve().parents[4]
RESIZE_RULES = ("fit", "stretch", "crop")


def spec(**changes: object) -> InputSpec:
    usual = {
        "name": "image",
        "dtype": "uint8",
        "layout": "NHWC",
        "height": 28,
        "width": 28,
        "channels": 1,
        "resize": "fit",
        "polarity": None,
        "scale": None,
        "mean": None,
        "std": None,
    }
    return InputSpec.model_validate(usual | changes)


def decode(data: bytes, *, max_pixels: int = 1_000_000, **changes: object) -> Array:
    decoder = Decoder(spec(**changes), max_pixels=max_pixels)
    return decoder.decode(decoder.open(data))


def assert_close(actual: Array, expected: Array, tolerance: float) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(float) - expected).max() <= tolerance


# Colours


@pytest.mark.parametrize("name", CASES)
def test_every_mode_of_every_format_is_decoded(name: str) -> None:
    data, rgb, tolerance = CASES[name]

    assert_close(decode(data, channels=3), rgb, tolerance)
    assert_close(decode(data), luma(rgb), tolerance + 1)


@pytest.mark.parametrize("name", CASES)
def test_decoded_image_is_freed_with_its_last_reference(name: str) -> None:
    decoder = Decoder(spec(channels=3), max_pixels=1_000_000)
    gc.disable()  # it would also free reference cycles
    try:
        opened = decoder.open(CASES[name].data)
        image = weakref.ref(opened.image)
        decoder.decode(opened)
        del opened
        assert image() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [name for name, case in GREY_CASES.items() if case.tolerance == 0])
def test_grey_images_keep_every_bit(name: str) -> None:
    assert np.array_equal(decode(GREY_CASES[name].data)[..., 0], GREY_CASES[name].rgb)


@pytest.mark.parametrize("widen", [lambda grey: grey * 257, lambda grey: grey << 8], ids=["257", "256"])
def test_images_widened_to_16_bits_are_decoded_exactly(widen: Callable[[Array], Array]) -> None:
    assert np.array_equal(decode(encode(widen(GREY.astype(np.uint16)), "PNG"))[..., 0], GREY)


def test_non_finite_values_are_black() -> None:
    values = FLOAT / 255
    values[0, :3] = np.nan, np.inf, -np.inf

    assert not decode(encode(values, "TIFF"))[0, :3].any()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_is_decoded(form: str) -> None:
    frames = [Image.fromarray(pixels) for pixels in (RGB, RGB[::-1], RGB[:, ::-1])]
    if form == "GIF":
        frames = [frame.quantize(256) for frame in frames]
    options: dict[str, object] = {"save_all": True, "append_images": frames[1:]}
    if form == "WEBP":
        options["lossless"] = True

    image = decode(encode(frames[0], form, **options), channels=3)

    assert np.array_equal(image, np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("resize", ["stretch", "fit"])
@pytest.mark.parametrize(("side", "part"), [(28, 64), (7, 64), (3, 100), (3, 16), (9, 100)])
def test_large_images_are_converted_like_small_ones(
    name: str, resize: str, side: int, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded() -> list[Array]:
        data = CASES[name].data
        return [
            decode(data, channels=channels, height=side, width=side, resize=resize) for channels in (1, 3)
        ]

    whole = decoded()

    for module in (decoder_module, flatten):
        monkeypatch.setattr(module, "PART_PIXELS", part)

    assert all(map(np.array_equal, decoded(), whole))


# Orientation

UPRIGHT: Array = np.kron(
    np.array(
        [[[200, 30, 30], [30, 160, 40], [20, 40, 200]], [[250, 250, 250], [10, 10, 10], [240, 220, 20]]]
    ),
    np.ones((8, 8, 1), int),
).astype(np.uint8)
AS_DRAWN = {"height": 16, "width": 24, "channels": 3}

# By orientation: the upright image as a camera stores it.
STORED: dict[int, Array] = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_images_are_rotated_upright(form: str, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation])
    # Each format uses the options it supports.
    data = encode(stored, form, exif=exif(orientation), lossless=True, quality=100, subsampling=0)

    image = decode(data, **AS_DRAWN)

    assert_close(image, UPRIGHT, 6 if form == "JPEG" else 0)


@pytest.mark.parametrize("orientation", STORED)
def test_large_images_are_rotated_upright(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decoder_module, flatten):
        monkeypatch.setattr(module, "PART_PIXELS", 50)
    data = encode(np.ascontiguousarray(STORED[orientation]), "PNG", exif=exif(orientation))

    assert_close(decode(data, **AS_DRAWN), UPRIGHT, 0)
    small = decode(data, height=4, width=6, channels=3, resize="stretch")
    assert_close(small, decode(encode(UPRIGHT, "PNG"), height=4, width=6, channels=3, resize="stretch"), 1)


@given(st.binary(max_size=80))
def test_any_metadata_has_an_orientation_or_none(data: bytes) -> None:
    for start in (b"", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\1"):
        for key in ORIENTATION_KEYS:
            value = start + data
            text = value.decode("latin-1")
            for metadata in (value, text, f"\n\n\n{value.hex()}"):
                assert isinstance(read_orientation({key: metadata}), int | None)


def test_deep_and_transparent_images_are_rotated() -> None:
    deep = encode(np.ascontiguousarray(np.rot90(GREY)).astype(np.uint16) * 257, "PNG", exif=exif(6))
    keyed = encode(np.ascontiguousarray(np.rot90(GREY)), "PNG", exif=exif(6), transparency=1)

    assert np.array_equal(decode(deep)[..., 0], GREY)
    assert np.array_equal(decode(keyed)[..., 0], GREY)


@pytest.mark.parametrize("place", ["text", "XMP", "after the pixels"])
def test_orientation_is_read_from_each_place_in_a_png(place: str) -> None:
    raw = exif(6).tobytes()
    info = PngImagePlugin.PngInfo()
    if place == "text":
        info.add_text("Raw profile type exif", f"\nexif\n{len(raw)}\n{raw.hex()}\n", zip=True)
    elif place == "XMP":
        info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    data = encode(np.ascontiguousarray(STORED[6]), "PNG", pnginfo=info)
    if place == "after the pixels":
        data = data[:-12] + png_chunk(b"eXIf", raw[6:]) + data[-12:]

    assert np.array_equal(decode(data, **AS_DRAWN), UPRIGHT)


@pytest.mark.parametrize(
    "metadata",
    [
        exif(0).tobytes(),
        exif(9).tobytes(),
        b"no EXIF at all",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM",
    ],
)
def test_damaged_metadata_is_ignored(metadata: bytes) -> None:
    assert np.array_equal(decode(encode(UPRIGHT, "PNG", exif=metadata), **AS_DRAWN), UPRIGHT)


# Geometry


@pytest.mark.parametrize("resize", RESIZE_RULES)
def test_image_of_the_model_size_keeps_every_bit(resize: str) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)

    assert np.array_equal(decode(encode(noise, "PNG"), resize=resize)[..., 0], noise)


def test_fit_pads_with_the_border_colour() -> None:
    image = np.full((20, 28, 3), (10, 200, 90), np.uint8)
    image[5:15, 3:20] = RGB[5:15, 3:20]
    image[0, :9] = 255

    wide = decode(encode(image, "PNG"), channels=3)
    high = decode(encode(np.ascontiguousarray(image.transpose(1, 0, 2)), "PNG"), channels=3)

    assert np.array_equal(wide[4:24], image)
    assert (wide[:4] == (10, 200, 90)).all()
    assert (wide[24:] == (10, 200, 90)).all()
    assert np.array_equal(high.transpose(1, 0, 2), wide)


def test_fit_keeps_the_aspect_ratio_when_it_enlarges() -> None:
    image = np.array([[30] * 4 + [220] * 4] * 2, np.uint8)

    out = decode(encode(image, "PNG"), height=16, width=16)[..., 0]

    # The image is now 4 rows in the middle; the border of the dark half is lighter by one pixel.
    assert_close(out[6:10, :5], np.full((4, 5), 30), 0)
    assert_close(out[6:10, 11:], np.full((4, 5), 220), 0)
    assert np.unique(out[[*range(6), *range(10, 16)]]).size == 1


def test_stretch_ignores_the_aspect_ratio() -> None:
    quarters = np.array([[10, 80], [150, 250]], np.uint8).repeat(50, axis=0).repeat(200, axis=1)

    out = decode(encode(quarters, "PNG"), resize="stretch")[..., 0]

    for row, column, value in ((0, 0, 10), (0, 16, 80), (16, 0, 150), (16, 16, 250)):
        assert_close(out[row : row + 12, column : column + 12], np.full((12, 12), value), 1)


@pytest.mark.parametrize("turned", [False, True], ids=["wide", "high"])
def test_crop_keeps_the_middle_unchanged(turned: bool) -> None:
    strips = np.hstack((np.full((28, 29), 0), GREY, np.full((28, 29), 255))).astype(np.uint8)

    out = decode(encode(np.ascontiguousarray(strips.T if turned else strips), "PNG"), resize="crop")[..., 0]

    assert np.array_equal(out.T if turned else out, GREY)


def test_crop_scales_the_shorter_side_to_the_target() -> None:
    strips = np.array([[0, 90, 255]], np.uint8).repeat(100, axis=0).repeat(100, axis=1)

    out = decode(encode(strips, "PNG"), resize="crop")[..., 0]

    assert_close(out[:, 2:-2], np.full((28, 24), 90), 0)


@pytest.mark.parametrize("resize", RESIZE_RULES)
@pytest.mark.parametrize("side", [100, 280, 999])
def test_shrinking_does_not_alias(resize: str, side: int) -> None:
    board = (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)

    out = decode(encode(board, "PNG"), resize=resize, height=24, width=24)

    assert_close(out, np.full((24, 24, 1), 127.5), 4)


@pytest.mark.parametrize("resize", RESIZE_RULES)
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 65535), (65535, 3), (29, 28), (27, 28)])
def test_extreme_aspect_ratios_are_decoded(resize: str, size: tuple[int, int]) -> None:
    out = decode(encode(Image.new("L", size, 77), "PNG"), resize=resize, height=20, width=30)

    assert_close(out, np.full((20, 30, 1), 77), 1)


# Polarity


def drawing(background: int, foreground: int, width: int = 28) -> Array:
    """A stroke that touches the border."""
    image = np.full((28, width), background, np.uint8)
    image[:20, 10:14] = foreground
    return image


@pytest.mark.parametrize(
    ("background", "foreground", "light"),
    [
        (255, 0, True),
        (0, 255, False),
        (230, 60, True),
        (20, 140, False),
        (110, 20, True),  # paper in shade
        (140, 255, False),  # chalk
        (255, 255, True),  # blank
        (0, 0, False),
        (240, 255, True),
        (15, 0, False),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_the_other_polarity_are_inverted(
    background: int, foreground: int, light: bool, channels: int
) -> None:
    data = encode(drawing(background, foreground), "PNG")
    drawn = rgb_of(drawing(background, foreground))[..., :channels]
    negative = 255 - drawn

    assert np.array_equal(decode(data, channels=channels), drawn)
    for polarity, inverted in (("light-on-dark", light), ("dark-on-light", not light)):
        out = decode(data, channels=channels, polarity=polarity)
        assert np.array_equal(out, negative if inverted else drawn)


@pytest.mark.parametrize(("background", "light"), [((255, 255, 0), True), ((0, 0, 255), False)])
def test_coloured_backgrounds_are_judged_by_luma(background: tuple[int, int, int], light: bool) -> None:
    data = encode(Image.new("RGB", (28, 28), background), "PNG")

    out = decode(data, channels=3, polarity="light-on-dark")

    assert (out == (np.subtract(255, background) if light else background)).all()


def test_transparent_background_is_white() -> None:
    stroke = drawing(0, 255)
    drawn = Image.new("L", (28, 28), 0)
    drawn.putalpha(Image.fromarray(stroke))

    assert np.array_equal(decode(encode(drawn, "PNG"), polarity="light-on-dark")[..., 0], stroke)


def test_padding_is_inverted_with_the_image() -> None:
    out = decode(encode(drawing(255, 0, width=90), "PNG"), polarity="light-on-dark")[..., 0]

    assert not out[:9].any()
    assert out.max() > 150


def mnist(folder: Path) -> Iterator[Array]:
    for part in ("train", "t10k"):
        path = folder / "mnist" / f"{part}-images-idx3-ubyte.gz"
        if not path.exists():
            pytest.skip(f"no {path}")
        with gzip.open(path) as file:
            yield from np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)


def test_mnist_polarity_is_recognised(real_data: Path) -> None:
    assert sum(1 for image in mnist(real_data) if not is_light(image) and is_light(255 - image)) == 70_000


def test_mnist_and_its_negative_decode_bit_for_bit(real_data: Path) -> None:
    for image in islice(mnist(real_data), 0, None, 50):
        for drawn in (image, 255 - image):
            data = encode(drawn[..., 0], "PNG", compress_level=1)
            assert np.array_equal(decode(data, polarity="light-on-dark"), image)


# The array


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_have_the_layout_of_the_manifest(layout: str, channels: int) -> None:
    out = decode(encode(RGB[:20], "PNG"), layout=layout, channels=channels, height=20)

    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    rows = out if layout == "NHWC" else out.transpose(1, 2, 0)
    assert_close(rows, RGB[:20] if channels == 3 else luma(RGB[:20]), 1)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        (None, None, None),
        (1 / 127.5, [1.0, 1.0, 1.0], None),
        (1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        (None, [123.68, 116.78, 103.94], [2.0, 3.0, 4.0]),
    ],
)
def test_float32_is_normalised_by_channel(
    layout: str, scale: float | None, mean: list[float] | None, std: list[float] | None
) -> None:
    normalised: dict[str, object] = {"dtype": "float32", "scale": scale, "mean": mean, "std": std}
    decoder = Decoder(spec(channels=3, layout=layout, **normalised), max_pixels=1000)

    out = decoder.decode(decoder.open(encode(RGB, "PNG")))

    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    rows = out if layout == "NHWC" else out.transpose(1, 2, 0)
    expected = (RGB * (scale or 1.0) - (mean or [0.0] * 3)) / (std or [1.0] * 3)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)


def test_open_reads_the_number_of_pixels() -> None:
    decoder = Decoder(spec(), max_pixels=1200)

    assert decoder.open(encode(Image.new("L", (40, 30)), "PNG")).pixels == 1200


def test_decoder_is_thread_safe() -> None:
    decoder = Decoder(spec(channels=3, polarity="light-on-dark", height=20, width=30), max_pixels=1000)
    bodies = [case.data for case in CASES.values()] * 4
    alone = [decoder.decode(decoder.open(body)) for body in bodies]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: decoder.decode(decoder.open(body)), bodies))

    assert all(map(np.array_equal, alone, together))


# Rejections

NOT_READ = "not an image in a supported format (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM); it begins with"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the image is empty: it has no bytes"),
        (b"hello world, I am text", f"{NOT_READ} 'hello world,'"),
        (b"<html><body>", f"{NOT_READ} '<html><body>'"),
        (b"<svg xmlns=", "the image is in the format SVG, which is not decoded; save it as JPEG or PNG"),
        (b"%PDF-1.7\n%\xe2", "the image is in the format PDF, which is not decoded; save it as JPEG or PNG"),
        (
            b"\0\0\0\x18ftypheic",
            "the image is in the format HEIC, which is not decoded; save it as JPEG or PNG",
        ),
        (
            b"\0\0\0\x18ftypavif",
            "the image is in the format AVIF, which is not decoded; save it as JPEG or PNG",
        ),
        (
            b"\0\0\0\x0cJXL ",
            "the image is in the format JPEG XL, which is not decoded; save it as JPEG or PNG",
        ),
        (b"P5 3", "the PNM is truncated or corrupt: it has no complete header"),
        (b"P5 3 3 0 ", "the PNM is truncated or corrupt: its maximum value must be between 1 and 65535"),
        (b"P5 3 3 255 abc", "the PNM is truncated or corrupt: image file is truncated"),
        (b"P2 3 3 255 1 2 x", "the PNM is truncated or corrupt: its pixels are not numbers"),
        (b"P2 1 1 255" + b"1" * 100_000, "the PNM is truncated or corrupt: it has no complete header"),
        (b"P2 1 1 255 " + b"1" * 100_000, "the PNM is truncated or corrupt: its pixels are not numbers"),
        (b"\x89PNG", f"{NOT_READ} '.PNG'"),
        ("Привет".encode(), f"{NOT_READ} '............'"),
        (b"BM", "the BMP is truncated or corrupt"),
        (b"BM" + bytes(60), "the BMP is truncated or corrupt: Unsupported BMP header type (0)"),
        (
            encode(RGB, "PNG").replace(bytes((0, 0, 0, 28)) * 2, bytes(8)),
            "the PNG is truncated or corrupt: broken PNG file (bad header checksum in b'IHDR')",
        ),
        (
            b"\xff\xd8\xff\xd9",
            "the JPEG is truncated or corrupt: it has no complete header",
        ),
        (
            encode(RGB, "JPEG")[:-9],
            "the JPEG is truncated or corrupt: image file is truncated (17 bytes not processed)",
        ),
    ],
)
def test_invalid_images_are_rejected_with_a_reason(data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        decode(data)

    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", CASES)
def test_truncated_image_is_rejected_or_complete(name: str) -> None:
    data = CASES[name].data
    whole = decode(data, channels=3)
    rejected = 0
    for length in sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))}):
        try:
            part = decode(data[:length], channels=3)
        except InvalidImage:
            rejected += 1
        else:
            # Only bytes after the last pixel are missing, or digits of it.
            differs = (part != whole).any(axis=-1)
            assert not differs.any() or ("plain" in name and differs.sum() == differs[-1, -1])
    assert rejected > 40


BY_FORMAT: dict[str, list[bytes]] = {
    form: [case.data for name, case in CASES.items() if name.startswith(form)]
    for form in ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "PNM")
}
BY_FORMAT["PNG"].append(encode(RGB, "PNG", exif=exif(6)))
BY_FORMAT["JPEG"].append(encode(RGB, "JPEG", exif=exif(8)))
BY_FORMAT["WebP"].append(encode(RGB, "WEBP", exif=exif(5)))
BY_FORMAT["TIFF"].append(encode(RGB, "TIFF", exif=exif(7), compression="jpeg"))
ALL = [data for bodies in BY_FORMAT.values() for data in bodies]

SPECS = [
    spec(resize=resize, channels=channels, dtype=dtype, layout=layout, polarity="light-on-dark")
    for resize in RESIZE_RULES
    for channels, dtype, layout in ((1, "uint8", "NHWC"), (3, "uint8", "NCHW"), (3, "float32", "NHWC"))
]


def rejection(data: bytes, form: InputSpec) -> str | None:
    """Decode and check the array; returns the message of the error if the image is rejected."""
    decoder = Decoder(form, max_pixels=1_000_000)
    try:
        out = decoder.decode(decoder.open(data))
    except InvalidImage as error:
        return str(error)
    assert out.shape == form.shape
    assert out.dtype == form.dtype
    assert np.isfinite(out).all()
    return None


def check(data: bytes, form: InputSpec) -> None:
    sentence = rejection(data, form) or "decoded"
    assert sentence.isprintable()
    assert len(sentence) < 200
    assert " object at " not in sentence


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(SPECS))
def test_any_bytes_are_decoded_or_rejected(data: bytes, form: InputSpec) -> None:
    check(data, form)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([data[:length] for data in ALL for length in (4, 12, 30)]),
    st.binary(max_size=200),
    st.sampled_from(SPECS),
)
def test_any_bytes_after_a_valid_start_are_decoded_or_rejected(
    start: bytes, rest: bytes, form: InputSpec
) -> None:
    check(start + rest, form)


@pytest.mark.parametrize("bodies", BY_FORMAT.values(), ids=BY_FORMAT)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damaged_images_are_decoded_or_rejected(bodies: list[bytes], data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(bodies)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(min_size=1, max_size=8))
    check(bytes(body), data.draw(st.sampled_from(SPECS)))


def test_many_damaged_images_are_rejected_in_a_row() -> None:
    rng = random.Random(20)
    for _ in range(1000):
        body = bytearray(rng.choice(ALL))
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(min(len(body), 200))
            body[place : place + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
        check(bytes(body), rng.choice(SPECS))


# Bombs

BOMBS = bombs()


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    """The cost of opening each bomb in a new process."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.images.bombs", spec().model_dump_json()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name: Cost(*cost) for name, cost in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.measures
def test_bombs_are_rejected_at_low_cost(name: str, costs: dict[str, Cost]) -> None:
    assert costs[name].outcome == BOMBS[name][1]
    assert costs[name].seconds < 0.5
    assert costs[name].mebibytes < 20


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_rejected_by_their_header(name: str) -> None:
    data, message = BOMBS[name]

    with pytest.raises(InvalidImage) as caught:
        Decoder(spec(), max_pixels=MAX_PIXELS).open(data)

    assert str(caught.value) == message


def test_small_parts_after_the_pixels_are_counted() -> None:
    data = encode(GREY, "PNG")

    with pytest.raises(InvalidImage, match="too many small parts"):
        decode(data[:-12] + png_chunk(b"abCd", b"") * 110_000 + data[-12:])


def test_data_appended_to_a_jpeg_is_not_counted() -> None:
    photograph = encode(RGB, "JPEG")
    film = b"\xff\xda" * 1000

    assert np.array_equal(decode(photograph + film), decode(photograph))


def test_image_of_exactly_the_limit_is_decoded() -> None:
    data = encode(Image.new("L", (100, 50), 9), "PNG")

    assert (decode(data, max_pixels=5000) == 9).all()
    with pytest.raises(
        InvalidImage, match=r"100x50 pixels; at most 4,999 are decoded \(CONVSERVE_MAX_PIXELS\)"
    ):
        decode(data, max_pixels=4999)


PLUGINS_AFTER = """
import json, sys
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec

decoder = Decoder(InputSpec.model_validate_json(sys.argv[1]), max_pixels=1_000_000)
for body in json.load(sys.stdin):
    decoder.decode(decoder.open(bytes.fromhex(body)))
print(*sorted(name.removesuffix("ImagePlugin") for name in sys.modules if name.endswith("ImagePlugin")))
"""


def test_only_the_plugins_of_the_formats_are_loaded() -> None:
    command = [sys.executable, "-c", PLUGINS_AFTER, spec().model_dump_json()]
    bodies = json.dumps([data.hex() for data in ALL])

    done = subprocess.run(command, cwd=ROOT, check=True, input=bodies, capture_output=True, text=True)

    assert done.stdout.split() == [f"PIL.{name}" for name in ("Bmp", "Gif", "Jpeg", "Png", "Tiff", "WebP")]


# Photographs


def test_photographs_keep_their_colours(real_data: Path) -> None:
    paths = sorted((real_data / "photos").glob("*.JPEG"))
    if not paths:
        pytest.skip(f"no photographs in {real_data / 'photos'}")
    for path in paths:
        body = path.read_bytes()
        with Image.open(io.BytesIO(body)) as image:
            turned = image.getexif().get(0x0112, 1) == 6
            colours = np.rot90(np.asarray(image.convert("RGB")), -1 if turned else 0)

        out = decode(body, channels=3, height=64, width=64, resize="stretch")

        # Sixteen parts have the same mean colours, whatever the filter.
        rows, columns = (np.array_split(np.arange(side), 4) for side in colours.shape[:2])
        means = np.array([[colours[np.ix_(r, c)].mean(axis=(0, 1)) for c in columns] for r in rows])
        assert_close(out.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)), means, 5)
