"""Unpacking in bounded pieces."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.http.direct.decoding import Decoder, DecodingError, decoder_for

TEXT = b"hello" * 100
MEMBERS = gzip.compress(TEXT) + gzip.compress(TEXT)


@given(place=st.integers(0, len(MEMBERS)))
def test_decoder_unpacks_every_gzip_member_wherever_it_is_split(place: int) -> None:
    """RFC 1952, section 2.2: members follow one another, and mean the sum of their texts."""
    decoder = Decoder("gzip")
    pieces = [*decoder.pieces(MEMBERS[:place]), *decoder.pieces(MEMBERS[place:])]
    assert (b"".join(pieces), decoder.is_cut) == (TEXT * 2, False)


def test_decoder_gives_a_huge_body_in_bounded_pieces() -> None:
    """Memory holds one piece at a time, whatever a small body unpacks to."""
    sizes = [len(piece) for piece in Decoder("gzip").pieces(gzip.compress(bytes(10_000_000)))]
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 256 * 1024


def test_decoder_knows_that_a_body_was_cut() -> None:
    """Its framing may not."""
    decoder = Decoder("gzip")
    assert b"".join(decoder.pieces(gzip.compress(TEXT)[:-1])) == TEXT
    assert decoder.is_cut


@pytest.mark.parametrize(
    ("coding", "is_decoded"), [(" GZip ", True), ("x-gzip", True), ("identity", False), ("", False)]
)
def test_decoder_for_knows_the_codings_in_use(coding: str, is_decoded: bool) -> None:
    """Names have no case; an unknown one is the caller's to read."""
    assert (decoder_for(coding) is not None) is is_decoded


def test_decoder_for_refuses_what_it_cannot_unpack() -> None:
    """Brotli is not in the standard library."""
    with pytest.raises(DecodingError, match="br"):
        decoder_for("br")
