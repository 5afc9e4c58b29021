"""Bodies packed by gzip or deflate; what a packed body holds is limited before it is held.

>>> unpacked(packed(b"{}"), "gzip", most=10)
b'{}'
"""

from __future__ import annotations

import zlib

from keelway.errors import BadRequestError

CODINGS = ("gzip", "deflate")
_GZIP, _ZLIB = 31, 15  # window bits, with the wrapper in them
_FAST = 1


def packed(body: bytes) -> bytes:
    """Return a body packed by gzip, fast rather than small."""
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


def unpacked(body: bytes, coding: str, *, most: int) -> bytes:
    """Return what a body holds that is packed by one coding.

    Args:
        coding: `gzip` or `deflate`, as in `Content-Encoding`.
        most: Bytes that it may hold; no more are ever unpacked.

    Raises:
        BadRequestError: The coding is another (415), the body is damaged or cut off (400), or holds more (413).
    """
    if coding not in CODINGS:
        raise BadRequestError(
            "The content coding is not known", expected=" or ".join(CODINGS), found=coding[:100], status=415,
            field="Content-Encoding",
        )  # fmt: skip
    unpacker = zlib.decompressobj(_GZIP if coding == "gzip" else _ZLIB)
    try:
        found = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise _damaged(coding, str(error)) from error
    if len(found) > most:
        raise BadRequestError(
            "The body is too large", expected=f"at most {most} bytes after it is unpacked", found="more", status=413
        )
    if not unpacker.eof or unpacker.unused_data:
        raise _damaged(coding, "bytes after the end" if unpacker.eof else "an end too early")
    return found


def _damaged(coding: str, found: str) -> BadRequestError:
    return BadRequestError("The body is damaged", expected=f"one stream of {coding}", found=found, status=400)
