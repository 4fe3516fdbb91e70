"""Lines written by a thread: nobody waits, nothing is lost unsaid, the rest is flushed at the end."""

from __future__ import annotations

import threading
import time

import pytest

from servicekit.records.line_writer import LineWriter


def test_line_writer_writes_all_in_order_and_flushes_on_close() -> None:
    """Items from several threads, each a whole line; those of one thread in its order."""
    written: list[bytes] = []
    writer = LineWriter[int](lambda item: b"%d" % item, written.append)
    writer.start()

    def put(start: int) -> None:
        for number in range(start, start + 500):
            writer.put(number)

    threads = [threading.Thread(target=put, args=(1000 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    numbers = [int(line) for line in b"".join(written).splitlines()]
    assert sorted(numbers) == [1000 * thread + number for thread in range(3) for number in range(500)]
    assert all([n for n in numbers if n // 1000 == t] == sorted(n for n in numbers if n // 1000 == t) for t in range(3))
    assert writer.dropped == 0


def test_line_writer_drops_and_counts_instead_of_waiting() -> None:
    """A disk that hangs costs whoever puts nothing but the lines."""
    free = threading.Event()
    written: list[bytes] = []

    def write(lines: bytes) -> None:
        free.wait(10)
        written.append(lines)

    writer = LineWriter[int](lambda item: b"%d" % item, write, max_waiting=10)
    writer.start()
    began = time.monotonic()
    for number in range(1_000):
        writer.put(number)
    assert time.monotonic() - began < 0.1
    free.set()
    writer.close()
    assert len(b"".join(written).splitlines()) + writer.dropped == 1_000
    assert writer.dropped > 900


def test_line_writer_goes_on_after_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    """What the disk did not take is counted, and told of once."""
    attempts = 0
    written: list[bytes] = []

    def write(lines: bytes) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise OSError(28, "No space left on device")
        written.append(lines)

    writer = LineWriter[int](lambda item: b"%d" % item, write)
    for number in range(600):  # batches of 256
        writer.put(number)
    writer.start()
    writer.close()
    assert b"".join(written).splitlines() == [b"%d" % number for number in range(512, 600)]
    assert writer.dropped == 512
    assert caplog.text.count("records cannot be written") == 1


def test_line_writer_survives_an_item_that_cannot_be_told(caplog: pytest.LogCaptureFixture) -> None:
    """The others are written; the log has the reason."""
    written: list[bytes] = []
    writer = LineWriter[int](lambda item: b"%d" % (6 // item), written.append)
    for number in (1, 0, 2):
        writer.put(number)
    writer.start()
    writer.close()
    assert b"".join(written) == b"6\n3\n"
    assert writer.dropped == 1
    assert "ZeroDivisionError" in caplog.text
