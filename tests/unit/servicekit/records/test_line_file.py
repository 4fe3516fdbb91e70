"""A file of whole lines: rotated by size, never with half a line."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from servicekit.records.line_file import LineFile


def test_line_file_is_rotated_by_size_and_keeps_so_many(tmp_path: Path) -> None:
    """The newest lines are in the plain name, the oldest kept ones in the highest number."""
    file = LineFile(tmp_path / "lines.jsonl", max_bytes=10, keep=2)
    for number in range(5):
        file.append(b"line %d\n" % number)
    file.close()
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"lines.jsonl": b"line 4\n", "lines.1.jsonl": b"line 3\n", "lines.2.jsonl": b"line 2\n"}


def test_line_file_takes_lines_that_are_larger_than_itself(tmp_path: Path) -> None:
    """They are written whole, alone in their file."""
    file = LineFile(tmp_path / "lines.jsonl", max_bytes=5, keep=1)
    file.append(b"a long line\n")
    file.append(b"b\n")
    file.close()
    assert (tmp_path / "lines.1.jsonl").read_bytes() == b"a long line\n"
    assert (tmp_path / "lines.jsonl").read_bytes() == b"b\n"


def test_line_file_takes_back_what_did_not_fit_on_the_disk(tmp_path: Path) -> None:
    """The system wrote a part: nothing of it stays, and the next lines are whole again."""
    file = LineFile(tmp_path / "lines.jsonl", max_bytes=1_000, keep=1)
    file.append(b"first\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # the next write ends after four bytes
    try:
        with pytest.raises(OSError, match="No space left"):
            file.append(b"second, which is longer\n")
        assert (tmp_path / "lines.jsonl").read_bytes() == b"first\n"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append(b"third\n")
    file.close()
    assert (tmp_path / "lines.jsonl").read_bytes() == b"first\nthird\n"


def test_line_file_on_a_full_disk_raises() -> None:
    """The kernel's own full device says so."""
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("this system has no /dev/full")
    file = LineFile(device, max_bytes=1_000, keep=1)
    with pytest.raises(OSError, match="No space left"):
        file.append(b"line\n")
    file.close()
