"""Lines that are written by a thread of their own, so that whoever has something to record never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

ItemType = TypeVar("ItemType")

#: So many lines are written at once.
_BATCH_LINES = 256
#: How long a line waits at most until it is looked at.
_LOOK_SECONDS = 0.2
#: How long closing waits for a disk that does not answer.
_CLOSE_SECONDS = 5.0
#: A disk that is full is told of this often.
_COMPLAINT_SECONDS = 60.0


class LineWriter(Generic[ItemType]):
    """Takes items at any rate and writes each as a line; what cannot be written is dropped and counted.

    Args:
        encode: Makes a line of an item, without a line feed; called by whoever puts it. What it is made of is in the
            processor's caches then, and need not be kept: done later, in the thread, it cost a request twice as much.
        write: Writes whole lines, or raises OSError; called in the thread.
        close: Called in the thread at its end.
        max_waiting: So many lines may wait; more are dropped.
        prepare: Called in the thread soon after its start, before there is load.
    """

    def __init__(
        self,
        encode: Callable[[ItemType], bytes],
        write: Callable[[bytes], None],
        close: Callable[[], None] = lambda: None,
        max_waiting: int = 4096,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._encode = encode
        self._write = write
        self._close = close
        self._max_waiting = max_waiting
        self._prepare = prepare
        self._waiting: deque[bytes] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._complained_at: float | None = None
        #: How many items were dropped: too many waited, or the disk did not take them.
        self.dropped = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: ItemType) -> None:
        """Leave an item to be written; never waits, never raises."""
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            return
        try:
            line = self._encode(item)
        except Exception:  # one item that cannot be told must not end what it tells of
            self.dropped += 1
            logger.exception("a record could not be encoded")
            return
        self._waiting.append(line + b"\n")

    def close(self) -> None:
        """Write what waits and end the thread; gives up on a disk that does not answer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        if self.dropped:
            logger.warning("%d records were dropped", self.dropped)

    def _run(self) -> None:
        # The thread looks from time to time instead of being woken: whoever leaves a line pays for no lock.
        if not self._stop.wait(_LOOK_SECONDS):
            try:
                self._prepare()
            except Exception:  # it is tried again with the first line
                logger.exception("the records could not be prepared")
        while not self._stop.wait(_LOOK_SECONDS):
            self._write_waiting()
        self._write_waiting()
        self._close()

    def _write_waiting(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), _BATCH_LINES)
            lines = [self._waiting.popleft() for _ in range(count)]
            try:
                self._write(b"".join(lines))
            except OSError as exc:
                self.dropped += count
                self._complain(exc)

    def _complain(self, exc: OSError) -> None:
        now = time.monotonic()
        if self._complained_at is None or now - self._complained_at > _COMPLAINT_SECONDS:
            self._complained_at = now
            logger.warning("records cannot be written (%s); requests are answered without", exc)
