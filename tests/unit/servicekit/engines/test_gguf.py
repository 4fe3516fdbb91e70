"""What a model file is told to be before llama.cpp sees it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from servicekit.engines.gguf import read_gguf_facts
from servicekit.errors import ConfigurationError


def text(value: str) -> bytes:
    """Encode a GGUF string."""
    return struct.pack("<Q", len(value)) + value.encode()


def header(*pairs: bytes) -> bytes:
    """Encode the start of a GGUF file with these key-value pairs."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


NAME = text("general.name") + struct.pack("<I", 8) + text("tiny")
FLAGS = text("general.flags") + struct.pack("<IIQ", 9, 4, 3) + struct.pack("<3I", 1, 2, 3)
TAGS = text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
RATE = text("llama.rope.freq_base") + struct.pack("<If", 6, 10000.0)
CONTEXT = text("llama.context_length") + struct.pack("<II", 4, 512)


def write(folder: Path, content: bytes) -> Path:
    """Write a model file."""
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def test_context_length_is_found_behind_values_of_every_kind(tmp_path: Path) -> None:
    """Texts, numbers and lists before it are skipped."""
    content = header(NAME, FLAGS, TAGS, RATE, CONTEXT)
    facts = read_gguf_facts(write(tmp_path, content))
    assert (facts.context_tokens, facts.size_bytes) == (512, len(content))


def test_file_without_a_context_length_is_accepted(tmp_path: Path) -> None:
    """It is llama.cpp's business then."""
    assert read_gguf_facts(write(tmp_path, header(NAME))).context_tokens is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04zip", "starts with b'PK"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"GGUF\x03", "incomplete or broken"),
        (header(NAME, CONTEXT)[:40], "ends in its middle"),
        (header(text("k") + struct.pack("<I", 99)), "unknown type 99"),
        (header(struct.pack("<Q", 1 << 60)), "a text of"),
        (header(text("k") + struct.pack("<IIQ", 9, 8, 1 << 60)), "a list of"),
    ],
)
def test_file_that_is_no_model_is_refused_with_one_sentence(tmp_path: Path, content: bytes, found: str) -> None:
    """The message names the file, what was found and what to do."""
    path = write(tmp_path, content)
    with pytest.raises(ConfigurationError) as caught:
        read_gguf_facts(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert found in problem
    assert "compose/models.json" in problem


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    """The path in models.json is wrong in two different ways."""
    with pytest.raises(ConfigurationError, match="there is no such model file"):
        read_gguf_facts(tmp_path / "missing.gguf")
    with pytest.raises(ConfigurationError, match="this is a folder"):
        read_gguf_facts(tmp_path)
