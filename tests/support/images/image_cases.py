"""Images in every mode of every format, with their expected pixels."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Fields = dict[int, int | tuple[int, ...]]


# Encoding: with Pillow if it supports the mode, otherwise by hand.


def encode(image: Image.Image | Array, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, form, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size: tuple[int, int], depth: int, colour: int, rows: Array, *chunks: bytes) -> bytes:
    """A PNG of any depth and colour type, with `chunks` before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    before = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks)
    return before + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def tiff(strip: bytes, fields: Fields, order: str = "<") -> bytes:
    """Return a TIFF with one strip, at byte 8, and with `fields`, all of type LONG."""
    strip += bytes(len(strip) % 2)
    directory, values = b"", bytearray()
    after = 8 + len(strip) + 2 + 12 * len(fields) + 4
    for tag, value in sorted(fields.items()):
        numbers = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(numbers)}L", *numbers)
        if len(packed) > 4:
            start = struct.pack(order + "L", after + len(values))
            values += packed
            packed = start
        directory += struct.pack(order + "HHL", tag, 4, len(numbers)) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8 + len(strip))
    return head + strip + struct.pack(order + "H", len(fields)) + directory + bytes(4) + values


def plain_tiff(samples: Array, fields: Fields, order: str = "<") -> bytes:
    """An uncompressed TIFF of `samples`, grey unless `fields` says otherwise."""
    height, width = samples.shape[:2]
    strip = samples.tobytes()
    usual: Fields = {256: width, 257: height, 259: 1, 262: 1, 273: 8, 278: height, 279: len(strip)}
    return tiff(strip, usual | fields, order)


def bmp_of_runs(width: int, height: int, runs: bytes) -> bytes:
    """A run-length encoded BMP with a palette of greys."""
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette + runs


def bmp_with_alpha(samples: Array) -> bytes:
    """A BMP of 32 bits a pixel, whose header has a mask for alpha."""
    height, width = samples.shape[:2]
    pixels = np.ascontiguousarray(samples[::-1, :, [2, 1, 0, 3]]).tobytes()
    masks = struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks
    header = header.ljust(108, b"\0")
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + pixels


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG without the segment by which Adobe's programs say that its inks are inverted."""
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4])
    return jpeg[:start] + jpeg[start + 2 + length :]


def netpbm(magic: str, samples: Array, maximum: int | None = None) -> bytes:
    """A PBM, PGM or PPM with comments in its header, and between the numbers of a plain one."""
    top = "" if maximum is None else f"{maximum}\n"
    head = f"{magic}\n# drawn\n{samples.shape[1]} # wide\n{samples.shape[0]}\n{top}".encode()
    if magic in ("P1", "P2", "P3"):
        rows = (" ".join(map(str, row.ravel())) for row in samples)
        return head + "\n# next row\n".join(rows).encode()
    return head + samples.tobytes()


def float_colours(
    samples: Array, *, order: str = "<", predictor: int = 0, extra: int | None = None, tile: int = 0
) -> bytes:
    """A TIFF of 32-bit colours; with a predictor, 1 to 3, it is deflated, in strips of 8 rows or in tiles."""
    values = samples.astype(np.float32)
    height, width, count = values.shape
    fields: Fields = {256: width, 257: height, 258: (32,) * count, 262: 2, 277: count, 339: (3,) * count}
    if extra is not None:
        fields[338] = extra
    if not predictor:
        strip = values.astype(f"{order}f4").tobytes()
        return tiff(strip, fields | {259: 1, 273: 8, 278: height, 279: len(strip)}, order)
    if tile:
        whole = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, count), np.float32)
        whole[:height, :width] = values
        corners = [(y, x) for y in range(0, len(whole), tile) for x in range(0, whole.shape[1], tile)]
        parts = [whole[y : y + tile, x : x + tile] for y, x in corners]
    else:
        parts = [values[y : y + 8] for y in range(0, height, 8)]
    packed = [zlib.compress(_differences(part, predictor, order)) for part in parts]
    offsets = tuple(8 + sum(map(len, packed[:index])) for index in range(len(packed)))
    sizes = tuple(map(len, packed))
    kind: Fields = (
        {322: tile, 323: tile, 324: offsets, 325: sizes} if tile else {273: offsets, 278: 8, 279: sizes}
    )
    return tiff(b"".join(packed), {**fields, **kind, 259: 8, 317: predictor}, order)


def packed_floats(order: str) -> bytes:
    strip = zlib.compress((FLOAT / 255).astype(f"{order}f4").tobytes())
    size: Fields = {256: 28, 257: 28, 278: 28, 279: len(strip)}
    return tiff(strip, {**size, 258: 32, 259: 8, 262: 1, 273: 8, 339: 3}, order)


def _differences(values: Array, predictor: int, order: str) -> bytes:
    height, _, count = values.shape
    if predictor == 1:
        return values.astype(f"{order}f4").tobytes()
    numbers: NDArray[Any] = np.ascontiguousarray(values).view(np.uint32)
    if predictor == 3:
        planes = numbers.astype(">u4").view(np.uint8).reshape(height, -1, 4).transpose(0, 2, 1)
        numbers = np.ascontiguousarray(planes).reshape(height, -1, count)
    changes = np.concatenate((numbers[:, :1], numbers[:, 1:] - numbers[:, :-1]), axis=1)
    return changes.tobytes() if predictor == 3 else changes.astype(f"{order}u4").tobytes()


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


# The contents of the images: asymmetric ramps of 28x28 pixels.

ACROSS, DOWN = np.meshgrid(np.arange(28), np.arange(28))
BILEVEL: Array = np.where(ACROSS + DOWN < 20, 0, 255).astype(np.uint8)
GREY: Array = (ACROSS * 6 + DOWN * 3).astype(np.uint8)
RGB: Array = np.stack((ACROSS * 9, DOWN * 9, 250 - ACROSS * 5 - DOWN * 3), axis=-1).astype(np.uint8)
MILD: Array = RGB // 4 + 96
ALPHA: Array = ((ACROSS + 2 * DOWN) * 3).astype(np.uint8)
INDICES: Array = ((ACROSS // 7 + DOWN // 9) % 4).astype(np.uint8)
PALETTE = np.array([[255, 0, 0], [0, 128, 0], [0, 0, 255], [250, 240, 10]], np.uint8)
PALETTE_ALPHA = np.array([255, 128, 0, 40], np.uint8)
CMYK: Array = np.concatenate((RGB, ALPHA[..., None] // 2), axis=-1)
YCBCR: Array = np.stack((80 + GREY // 3, 128 + ACROSS, 140 - DOWN), axis=-1).astype(np.uint8)
DEEP: Array = GREY.astype(np.uint16) << 8 | (ACROSS * 9).astype(np.uint16)
FLOAT: Array = GREY.astype(np.float32)
# Colour multiplied by alpha cannot exceed it.
PREMULTIPLIED: Array = np.concatenate((np.minimum(RGB, ALPHA[..., None]), ALPHA[..., None]), axis=-1)
PREMULTIPLIED_GREY: Array = np.stack((np.minimum(GREY, ALPHA), ALPHA), axis=-1)


def bilevel(pixels: Array) -> Image.Image:
    return Image.fromarray(pixels).convert("1")


def from_bands(mode: str, samples: Array) -> Image.Image:
    return Image.merge(
        mode, [Image.fromarray(np.ascontiguousarray(samples[..., i])) for i in range(len(mode))]
    )


def with_alpha(pixels: Array) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(ALPHA))
    return image


def paletted(mode: str) -> Image.Image:
    bands = [Image.fromarray(INDICES), Image.fromarray(ALPHA)][: len(mode)]
    image = Image.frombytes("P", (28, 28), INDICES.tobytes()) if mode == "P" else Image.merge(mode, bands)
    image.putpalette(PALETTE.tobytes())
    return image


def wide(samples: Array) -> Array:
    """Eight bits widened to sixteen, as a PNG stores them; the two bytes always differ."""
    return (samples.astype(np.uint16) * 257 ^ 85).astype(">u2")


def low_grey(depth: int) -> bytes:
    """Return a grey PNG of 2 or 4 bits per pixel, with the brightest level transparent."""
    values = GREY >> (8 - depth)
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.reshape(28, -1).astype(np.uint8), axis=1)
    return png((28, 28), depth, 0, rows, png_chunk(b"tRNS", struct.pack(">H", values.max())))


def twelve_bits() -> bytes:
    first, second = ((GREY.astype(np.uint16) << 4 | 9)[:, i::2] for i in (0, 1))
    packed = np.stack((first >> 4, (first & 15) << 4 | second >> 8, second & 255), axis=-1)
    return plain_tiff(packed.astype(np.uint8), {256: 28, 258: 12})


# The expected pixels, computed without Pillow.


def luma(rgb: Array) -> Array:
    return np.asarray(np.rint(rgb.astype(float) @ (0.299, 0.587, 0.114))[..., None])


def rgb_of(grey: Array) -> Array:
    return grey[..., None].repeat(3, axis=-1)


def over_white(pixels: Array, alpha: Array) -> Array:
    share = alpha[..., None] / 255
    return np.asarray(np.rint(pixels * share + 255 * (1 - share)))


def keyed(pixels: Array) -> Array:
    """Turn every pixel white that equals the pixel at (5, 5)."""
    transparent = (pixels == pixels[5, 5]).all(axis=-1, keepdims=True)
    return np.where(transparent, 255, pixels)


def low_grey_over_white(depth: int) -> Array:
    values = GREY >> (8 - depth)
    return np.where(values == values.max(), 255, values * (255 // (2**depth - 1)))


def from_cmyk(cmyk: Array) -> Array:
    inverted = 255.0 - cmyk
    return np.asarray(np.rint(inverted[..., :3] * inverted[..., 3:] / 255))


def from_ycbcr(ycc: Array) -> Array:
    y, blue, red = (ycc[..., i].astype(float) for i in range(3))
    r, b = y + 1.402 * (red - 128), y + 1.772 * (blue - 128)
    return np.clip(np.stack((r, (y - 0.299 * r - 0.114 * b) / 0.587, b), axis=-1), 0, 255)


def to_lab(rgb: Array) -> Array:
    """Convert sRGB to CIE Lab under D50, as stored in a TIFF: L from 0 to 255, a and b signed."""
    share = rgb / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    to_xyz = np.array([[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]])
    relative = linear @ to_xyz.T / (0.96422, 1, 0.82521)
    x, y, z = np.moveaxis(
        np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116), -1, 0
    )
    lab = np.stack(((116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)), axis=-1)
    return np.asarray(np.rint(lab)).astype(np.int16).astype(np.uint8)


class Case(NamedTuple):
    data: bytes
    rgb: Array
    tolerance: float = 0  # 0: bit for bit


GREY_CASES: dict[str, Case] = {
    "PNG 1": Case(encode(bilevel(BILEVEL), "PNG"), BILEVEL),
    "PNG 1, black transparent": Case(encode(bilevel(BILEVEL), "PNG", transparency=0), BILEVEL | 255),
    "PNG L": Case(encode(GREY, "PNG"), GREY),
    "PNG L, one grey transparent": Case(
        encode(GREY, "PNG", transparency=int(GREY[5, 5])), keyed(GREY[..., None])[..., 0]
    ),
    "PNG 2 bits, one grey transparent": Case(low_grey(2), low_grey_over_white(2)),
    "PNG 4 bits, one grey transparent": Case(low_grey(4), low_grey_over_white(4)),
    "PNG 16 bits": Case(encode(DEEP, "PNG"), GREY),
    "PNG 16 bits, one grey transparent": Case(
        png((28, 28), 16, 0, wide(GREY), png_chunk(b"tRNS", wide(GREY[5:6, 5]).tobytes())),
        keyed(GREY[..., None])[..., 0],
    ),
    "PNG LA": Case(encode(with_alpha(GREY), "PNG"), over_white(GREY[..., None], ALPHA)[..., 0], 1),
    "PNG 16 bits LA": Case(
        png((28, 28), 16, 4, wide(np.stack((GREY, ALPHA), axis=-1))),
        over_white(GREY[..., None], ALPHA)[..., 0],
        1,
    ),
    "JPEG L": Case(encode(GREY, "JPEG", quality=100), GREY, 3),
    "BMP 1": Case(encode(bilevel(BILEVEL), "BMP"), BILEVEL),
    "BMP L": Case(encode(GREY, "BMP"), GREY),
    "BMP run-length encoded": Case(
        bmp_of_runs(28, 28, b"".join(bytes((28, row, 0, 0)) for row in range(27, -1, -1)) + b"\0\1"), DOWN
    ),
    "GIF L": Case(encode(GREY, "GIF"), GREY),
    "TIFF 1": Case(encode(bilevel(BILEVEL), "TIFF"), BILEVEL),
    "TIFF 1, as a fax": Case(encode(bilevel(BILEVEL), "TIFF", compression="group4"), BILEVEL),
    "TIFF L": Case(encode(GREY, "TIFF"), GREY),
    "TIFF L, white is zero": Case(plain_tiff(GREY, {258: 8, 262: 0}), 255 - GREY),
    "TIFF LA": Case(encode(with_alpha(GREY), "TIFF"), over_white(GREY[..., None], ALPHA)[..., 0], 1),
    "TIFF La": Case(
        plain_tiff(PREMULTIPLIED_GREY, {258: (8, 8), 277: 2, 338: 1}),
        PREMULTIPLIED_GREY[..., 0] + (255.0 - ALPHA),
        2,
    ),
    "TIFF 12 bits": Case(twelve_bits(), GREY),
    "TIFF I;16": Case(plain_tiff(DEEP.astype("<u2"), {258: 16}), GREY),
    "TIFF I;16B": Case(plain_tiff(DEEP.astype(">u2"), {258: 16}, ">"), GREY),
    "TIFF I;16, packed": Case(encode(DEEP, "TIFF", compression="tiff_lzw"), GREY),
    "TIFF I;16, white is zero": Case(plain_tiff(DEEP.astype("<u2"), {258: 16, 262: 0}), 255 - GREY),
    "TIFF I to 255": Case(encode(GREY.astype(np.int32), "TIFF"), GREY),
    "TIFF I to 65535": Case(encode(GREY.astype(np.int32) * 257, "TIFF"), GREY),
    "TIFF I to anything": Case(
        encode(GREY.astype(np.int32) * 8_000_000, "TIFF"), GREY * (255 / GREY.max()), 1
    ),
    "TIFF F to 1": Case(encode(FLOAT / 255, "TIFF"), GREY),
    "TIFF F to 255": Case(encode(FLOAT, "TIFF"), GREY),
    "TIFF F to 65535": Case(encode(FLOAT * 257, "TIFF"), GREY),
    "TIFF F to anything": Case(encode(FLOAT * 1e6, "TIFF"), GREY * (255 / GREY.max()), 1),
    "TIFF F, packed, big-endian": Case(packed_floats(">"), GREY),
    "PNM 1, plain": Case(netpbm("P1", 1 - BILEVEL // 255), BILEVEL),
    "PNM 1": Case(netpbm("P4", np.packbits(1 - BILEVEL // 255, axis=1)).replace(b"4 #", b"28 #"), BILEVEL),
    "PNM L, plain": Case(netpbm("P2", GREY, 255), GREY),
    "PNM L": Case(netpbm("P5", GREY, 255), GREY),
    "PNM 16 bits": Case(netpbm("P5", DEEP.astype(">u2"), 65535), GREY),
    "PNM 12 bits": Case(netpbm("P5", np.rint(GREY * 4095.0 / 255).astype(">u2"), 4095), GREY),
    "TIFF F below black": Case(encode(FLOAT / 255 - 0.2, "TIFF"), np.maximum(GREY - 51.0, 0), 1),
}

COLOUR_CASES: dict[str, Case] = {
    "PNG P": Case(encode(paletted("P"), "PNG"), PALETTE[INDICES]),
    "PNG P, an alpha for each colour": Case(
        encode(paletted("P"), "PNG", transparency=PALETTE_ALPHA.tobytes()),
        over_white(PALETTE[INDICES], PALETTE_ALPHA[INDICES]),
        1,
    ),
    "PNG P, one colour transparent": Case(
        encode(paletted("P"), "PNG", transparency=2),
        over_white(PALETTE[INDICES], np.where(INDICES == 2, 0, 255)),
    ),
    "PNG RGB": Case(encode(RGB, "PNG"), RGB),
    "PNG RGB, one colour transparent": Case(
        encode(RGB, "PNG", transparency=tuple(map(int, RGB[5, 5]))), keyed(RGB)
    ),
    "PNG RGBA": Case(encode(with_alpha(RGB), "PNG"), over_white(RGB, ALPHA), 1),
    "PNG 16 bits RGB": Case(png((28, 28), 16, 2, wide(RGB)), RGB),
    "PNG 16 bits RGB, one colour transparent": Case(
        png((28, 28), 16, 2, wide(RGB), png_chunk(b"tRNS", wide(RGB[5, 5]).tobytes())), keyed(RGB)
    ),
    "PNG 16 bits RGBA": Case(
        png((28, 28), 16, 6, wide(np.concatenate((RGB, ALPHA[..., None]), axis=-1))),
        over_white(RGB, ALPHA),
        1,
    ),
    "JPEG RGB": Case(encode(RGB, "JPEG", quality=100, subsampling=0), RGB, 4),
    "JPEG progressive": Case(encode(RGB, "JPEG", quality=100, subsampling=0, progressive=True), RGB, 4),
    "JPEG CMYK without Adobe's marker": Case(
        without_adobe(encode(from_bands("CMYK", CMYK), "JPEG", quality=100)), from_cmyk(255 - CMYK), 5
    ),
    "JPEG CMYK": Case(encode(from_bands("CMYK", CMYK), "JPEG", quality=100), from_cmyk(CMYK), 5),
    "WebP RGB": Case(encode(RGB, "WEBP", lossless=True), RGB),
    "WebP RGB, lossy": Case(encode(RGB, "WEBP", quality=100), RGB, 25),
    "WebP RGBA": Case(encode(with_alpha(RGB), "WEBP", lossless=True, exact=True), over_white(RGB, ALPHA), 1),
    "BMP P": Case(encode(paletted("P"), "BMP"), PALETTE[INDICES]),
    "BMP RGB": Case(encode(RGB, "BMP"), RGB),
    "BMP RGBX": Case(encode(with_alpha(RGB), "BMP"), RGB),
    "BMP RGBA": Case(bmp_with_alpha(np.dstack((RGB, ALPHA))), over_white(RGB, ALPHA), 1),
    "BMP RGBA, alpha 0 everywhere": Case(bmp_with_alpha(np.dstack((RGB, ALPHA * 0))), RGB),
    "PNM RGB, plain": Case(netpbm("P3", RGB, 255), RGB),
    "PNM RGB": Case(netpbm("P6", RGB, 255), RGB),
    "PNM RGB to 100": Case(netpbm("P6", RGB // 3, 100), np.rint(RGB // 3 * 255.0 / 100)),
    "PNM 16 bits RGB": Case(netpbm("P6", RGB.astype(">u2") * 257, 65535), RGB),
    "GIF P": Case(encode(paletted("P"), "GIF"), PALETTE[INDICES]),
    "GIF P, one colour transparent": Case(
        encode(paletted("P"), "GIF", transparency=1),
        over_white(PALETTE[INDICES], np.where(INDICES == 1, 0, 255)),
    ),
    "TIFF P": Case(encode(paletted("P"), "TIFF"), PALETTE[INDICES]),
    "TIFF PA": Case(encode(paletted("PA"), "TIFF"), over_white(PALETTE[INDICES], ALPHA), 1),
    "TIFF RGB": Case(encode(RGB, "TIFF"), RGB),
    "TIFF RGB, deflated": Case(encode(RGB, "TIFF", compression="tiff_adobe_deflate"), RGB),
    "TIFF RGBA": Case(encode(with_alpha(RGB), "TIFF"), over_white(RGB, ALPHA), 1),
    "TIFF RGBa": Case(
        plain_tiff(PREMULTIPLIED, {258: (8, 8, 8, 8), 262: 2, 277: 4, 338: 1}),
        PREMULTIPLIED[..., :3] + (255.0 - ALPHA[..., None]),
        2,
    ),
    "TIFF RGBX": Case(
        plain_tiff(PREMULTIPLIED, {258: (8, 8, 8, 8), 262: 2, 277: 4, 338: 0}), PREMULTIPLIED[..., :3]
    ),
    "TIFF 16 bits RGB": Case(plain_tiff(RGB.astype("<u2") * 257, {258: (16, 16, 16), 262: 2, 277: 3}), RGB),
    "TIFF F RGB to 1": Case(float_colours(RGB / 255), RGB),
    "TIFF F RGB to 65535, big-endian": Case(float_colours(RGB * 257.0, order=">"), RGB),
    "TIFF F RGB, deflated": Case(float_colours(RGB / 255, predictor=1), RGB),
    "TIFF F RGB, horizontal predictor": Case(float_colours(RGB / 255, predictor=2), RGB),
    "TIFF F RGB, floating-point predictor": Case(float_colours(RGB / 255, predictor=3), RGB),
    "TIFF F RGB, floating-point predictor in tiles": Case(
        float_colours(RGB / 255, predictor=3, tile=16), RGB
    ),
    "TIFF F RGB, floating-point predictor, big-endian": Case(
        float_colours(RGB / 255, predictor=3, order=">"), RGB
    ),
    "TIFF F RGBA": Case(
        float_colours(np.dstack((RGB, ALPHA)) / 255, predictor=3, extra=2), over_white(RGB, ALPHA), 1
    ),
    "TIFF CMYK": Case(encode(from_bands("CMYK", CMYK), "TIFF"), from_cmyk(CMYK), 1),
    "TIFF YCbCr": Case(
        plain_tiff(YCBCR, {258: (8, 8, 8), 262: 6, 277: 3, 530: (1, 1)}), from_ycbcr(YCBCR), 2
    ),
    "TIFF LAB": Case(plain_tiff(to_lab(MILD), {258: (8, 8, 8), 262: 8, 277: 3}), MILD, 4),
}

CASES = {name: case._replace(rgb=rgb_of(case.rgb)) for name, case in GREY_CASES.items()} | COLOUR_CASES
