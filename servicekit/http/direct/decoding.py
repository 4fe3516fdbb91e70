"""Bodies that an upstream compressed although nobody asked for it (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

#: One piece of decoded body is not larger: a small answer cannot unpack into all of the memory at once.
_PIECE_BYTES = 256 * 1024
_GZIP_BITS = 16 + zlib.MAX_WBITS
_GZIP = frozenset({"gzip", "x-gzip"})
#: Codings that are in use and that the standard library cannot decode.
_UNKNOWN = frozenset({"br", "zstd", "compress", "x-compress"})


class DecodingError(Exception):
    """The body is not what its `Content-Encoding` says, or cannot be decoded here."""


class Decoder:
    """Unpacks a gzip or deflate body piece by piece.

    Args:
        coding: "gzip" or "deflate"; the latter with or without zlib's frame, as servers send both.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._unpacker = zlib.decompressobj(_GZIP_BITS) if coding == "gzip" else None
        self._is_member_open = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what a part of the body unpacks to.

        Raises:
            DecodingError: The body is broken.
        """
        while data:
            unpacker = self._opened(data)
            self._is_member_open = True
            try:
                piece = unpacker.decompress(data, _PIECE_BYTES)
            except zlib.error as exc:
                raise DecodingError(f"a body that is no {self._coding}: {exc}") from exc
            data = unpacker.unconsumed_tail
            if piece:
                yield piece
            if unpacker.eof:
                self._is_member_open = False
                data = self._next_member(unpacker.unused_data)

    @property
    def is_cut(self) -> bool:
        """Whether the body ended in the middle."""
        return self._is_member_open

    def _opened(self, data: bytes) -> zlib._Decompress:
        if self._unpacker is None:
            has_frame = data[0] & 0x0F == zlib.DEFLATED
            self._unpacker = zlib.decompressobj(zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS)
        return self._unpacker

    def _next_member(self, rest: bytes) -> bytes:
        """Return what a further gzip member (RFC 1952, section 2.2) begins with."""
        if self._coding != "gzip":
            return b""
        self._unpacker = zlib.decompressobj(_GZIP_BITS)
        return rest


def decoder_for(coding: str) -> Decoder | None:
    """Return the decoder of a `Content-Encoding`; None for a body that is passed on as it is.

    Raises:
        DecodingError: A coding that cannot be decoded here.
    """
    name = coding.strip().lower()
    if name in _UNKNOWN:
        raise DecodingError(f"a body in the coding {name}, which was not asked for")
    if name in _GZIP:
        return Decoder("gzip")
    return Decoder("deflate") if name == "deflate" else None
