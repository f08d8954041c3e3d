"""Decompresses messages within the limits.

gRPC's library would decompress a message before anything can count it: 64 kB become 64 MB. So it passes
messages on as they arrive, and does not say which of them are compressed. A message of protobuf begins with
neither signature: gzip's would be a field with a wire type that does not exist, and zlib's a field 15, which
no message of this server has.
"""

from __future__ import annotations

import asyncio
import zlib

from ....client_budget import Account
from ....errors import InvalidInput, PayloadTooLarge

GZIP = b"\x1f\x8b\x08"
ZLIB_FIRST_BYTE = 0x78
# Recognizes the header of either format.
AUTOMATIC = zlib.MAX_WBITS | 32
CHUNK_BYTES = 64 * 1024
LARGE_CHUNK_BYTES = 4 * 1024 * 1024
# Beyond these bytes, a message may be this many times as long as when it is compressed. Photographs compress
# little; only images that are nearly blank exceed it.
UNLIMITED_RATIO_BYTES = 4 * 1024 * 1024
MAX_RATIO = 100


def is_compressed(message: bytes) -> bool:
    first = message[:1]
    if first == b"\x1f":
        return message.startswith(GZIP)
    return first == b"\x78" and len(message) > 1 and (ZLIB_FIRST_BYTE << 8 | message[1]) % 31 == 0


async def decompress(message: bytes, max_bytes: int, account: Account) -> bytes:
    """The decompressed message; a large one is decompressed in a thread, without the event loop.

    Raises:
        BudgetExceeded: the process holds too many bytes for its clients.
        InvalidInput: the compressed data is damaged.
        PayloadTooLarge: it has more than `max_bytes`, or `MAX_RATIO` times the bytes of a large message.
    """
    max_bytes = min(max_bytes, max(UNLIMITED_RATIO_BYTES, MAX_RATIO * len(message)))
    decompressor = zlib.decompressobj(AUTOMATIC)
    chunks: list[bytes] = []
    size = 0
    data = message
    while not decompressor.eof:
        limit = CHUNK_BYTES if not chunks else LARGE_CHUNK_BYTES
        account.charge(limit)
        try:
            if chunks:
                chunk = await asyncio.to_thread(decompressor.decompress, data, limit)
            else:
                chunk = decompressor.decompress(data, limit)
        except zlib.error as error:
            raise InvalidInput("the compressed message is damaged") from error
        data = decompressor.unconsumed_tail
        size += len(chunk)
        account.release(limit - len(chunk))
        if size > max_bytes:
            raise PayloadTooLarge(
                f"the message has more than {max_bytes:,} bytes when it is decompressed: the limits are that "
                "of the method, for inference CONVSERVE_GRPC_MAX_MESSAGE_BYTES, and "
                f"{MAX_RATIO} times the size of a large message"
            )
        if not chunk and not data and not decompressor.eof:
            raise InvalidInput("the compressed message ends early")
        chunks.append(chunk)
    if len(chunks) == 1:
        return chunks[0]
    account.charge(size)
    joined = await asyncio.to_thread(b"".join, chunks)
    account.release(size)
    return joined
