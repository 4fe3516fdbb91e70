"""Looks into a GGUF file before llama.cpp does, whose only error for a bad file is "Failed to init server".

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from servicekit.errors import ConfigurationError

_MAGIC = b"GGUF"
_LFS_POINTER = b"version https://git-lfs"
_ARRAY, _STRING = 9, 8
#: `struct` codes of the value types of fixed size.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
#: A longer string or array means that the lengths were read from garbage.
_MAX_LENGTH = 1 << 28


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a service must know before it starts llama.cpp with a file.

    Attributes:
        size_bytes: Of the file.
        context_tokens: The context that the model was trained with; None if the file does not say.
    """

    size_bytes: int
    context_tokens: int | None


class _BrokenError(Exception):
    """The bytes are no GGUF metadata."""


def read_gguf_facts(path: Path) -> GgufFacts:
    """Read a model file's metadata, up to the context length.

    Raises:
        ConfigurationError: The file is missing, unreadable, no GGUF, or ends inside its metadata.
    """
    remedy = "Restore the file, or name another in compose/models.json."
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
            if not start.startswith(_MAGIC):
                raise ConfigurationError(f"{path}: {_what_it_is(start)}, not a GGUF model. {remedy}")
            file.seek(len(_MAGIC))
            return GgufFacts(path.stat().st_size, _context_tokens(file))
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path}: there is no such model file. {remedy}") from exc
    except IsADirectoryError as exc:
        raise ConfigurationError(f"{path}: this is a folder; the path of a GGUF file is needed.") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path}: the model file cannot be read ({exc.strerror}).") from exc
    except _BrokenError as exc:
        raise ConfigurationError(
            f"{path}: this GGUF file is incomplete or broken: its metadata {exc}. {remedy}"
        ) from exc


def _what_it_is(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start.startswith(_LFS_POINTER):
        return "this is a Git LFS pointer (`git lfs pull` fetches the file itself)"
    return f"the file starts with {start[:4]!r}"


def _context_tokens(file: BinaryIO) -> int | None:
    """Return `<architecture>.context_length`; it stands before the long lists of the tokenizer."""
    _read(file, "I")  # version
    _read(file, "Q")  # number of tensors
    count = _read(file, "Q")
    for _ in range(count):
        key = _bytes(file).decode("utf-8", "replace")
        kind = _read(file, "I")
        if key.endswith(".context_length") and kind in _FORMATS:
            return _read(file, _FORMATS[kind])
        _skip(file, kind)
    return None


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _bytes(file)
    elif kind == _ARRAY:
        _skip_array(file)
    elif kind in _FORMATS:
        _read(file, _FORMATS[kind])
    else:
        raise _BrokenError(f"has a value of the unknown type {kind}")


def _skip_array(file: BinaryIO) -> None:
    kind, count = _read(file, "I"), _read(file, "Q")
    if count > _MAX_LENGTH:
        raise _BrokenError(f"has a list of {count} items")
    if kind in _FORMATS:
        file.seek(count * struct.calcsize("<" + _FORMATS[kind]), 1)
    else:
        for _ in range(count):
            _skip(file, kind)


def _bytes(file: BinaryIO) -> bytes:
    length = _read(file, "Q")
    if length > _MAX_LENGTH:
        raise _BrokenError(f"has a text of {length} bytes")
    return _exactly(file, length)


def _read(file: BinaryIO, code: str) -> int:
    layout = "<" + code
    value: int = struct.unpack(layout, _exactly(file, struct.calcsize(layout)))[0]
    return value


def _exactly(file: BinaryIO, size_bytes: int) -> bytes:
    data = file.read(size_bytes)
    if len(data) < size_bytes:
        raise _BrokenError("ends in its middle")
    return data
