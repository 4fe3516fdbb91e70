"""Observations that wait in a list, and are handed to prometheus_client many at a time.

prometheus_client takes a lock and several calls for each observation, one to two microseconds, and a stream makes one
for every token. Here an observation is a list's `append`. What waits is handed over

- before one of its metrics is read in this process, by `/metrics` or by whoever asks the registry;
- when a list holds `_MOST_WAITING` values;
- half a second after the first of them, by a timer on the event loop: other processes read this one's files, see
  metrics_folder.py, and what is in no file dies with a process that is killed;
- when the interpreter ends.

Any number of threads may observe: appending is atomic, and only who hands over removes, under a lock.
"""

from __future__ import annotations

import asyncio
import atexit
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:  # the command line runs pipelines without metrics, and need not wait for this import
    from prometheus_client import Histogram, Metric
    from prometheus_client.metrics import MetricWrapperBase

#: A list with so many values is handed over at once: it takes less than 0.1 ms, which no stream feels.
_MOST_WAITING = 512
#: How long an observation waits at most while its event loop runs.
_SECONDS = 0.5

#: Every batch that is in use.
_batches: list[ref[MetricsBatch]] = []


class Waiting:
    """The values of one metric that wait, oldest first.

    Args:
        batch: That they belong to.
        take: Gets them; called by one thread at a time.
    """

    __slots__ = ("_batch", "_take", "_values")

    def __init__(self, batch: MetricsBatch, take: Callable[[Sequence[float]], None]) -> None:
        self._batch = batch
        self._take = take
        self._values: list[float] = []

    def add(self, value: float, now: float) -> None:
        """Let one more value wait.

        Args:
            value: What is observed, or by how much a gauge changes.
            now: The monotonic clock.
        """
        values = self._values
        values.append(value)
        if now > self._batch.due or len(values) >= _MOST_WAITING:
            self._batch.settle(now)

    def hand_over(self) -> None:
        """Give away what waits; only under the batch's lock, for others may only append meanwhile."""
        values = self._values
        if count := len(values):
            taken = values[:count]
            del values[:count]
            self._take(taken)


class MetricsBatch:
    """Metrics whose values wait together.

    Attributes:
        due: When a timer will hand over, monotonic clock; in the past if there is none, or if its loop has ended.
    """

    __slots__ = ("__weakref__", "_lists", "_lock", "due")

    def __init__(self) -> None:
        self.due = 0.0
        self._lists: list[Waiting] = []
        self._lock = Lock()
        _batches.append(ref(self, _batches.remove))
        _flush_at_exit()

    def waiting(self, take: Callable[[Sequence[float]], None]) -> Waiting:
        """Return a new list of values; `take` will get them."""
        added = Waiting(self, take)
        self._lists.append(added)
        return added

    def flush_before_reading(self, *metrics: MetricWrapperBase) -> None:
        """See that whoever collects one of these metrics sees all that was observed, too.

        The metric stays the object that its registry knows: `collect` of this one object is replaced, as
        prometheus_client's own `Gauge.set_function` does. A collector that is registered before it would not be asked
        by a restricted registry.
        """
        for metric in metrics:
            metric.collect = partial(self._collect, metric.collect)  # type: ignore[method-assign]  # see above

    def flush(self) -> None:
        """Hand over all that waits; also what another thread is about to."""
        with self._lock:
            self._hand_over()

    def settle(self, now: float) -> None:
        """See that what waits is handed over in time; now, if that is due or if there is no event loop."""
        if now > self.due:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._flush_unless_busy()
            else:
                self.due = now + _SECONDS
                loop.call_later(_SECONDS, self._on_time, self.due)
        else:
            self._flush_unless_busy()

    def _on_time(self, due: float) -> None:
        # Before the flush: what is added meanwhile must find no timer. A later timer than this one stays the timer.
        if self.due == due:
            self.due = 0.0
        self.flush()

    def _flush_unless_busy(self) -> None:
        """Hand over, but never wait: a finalizer, too, may observe something, in the middle of this thread's flush."""
        if self._lock.acquire(blocking=False):
            try:
                self._hand_over()
            finally:
                self._lock.release()

    def _hand_over(self) -> None:
        for waiting in self._lists:
            waiting.hand_over()

    def _collect(self, collect: Callable[[], Iterable[Metric]]) -> Iterable[Metric]:
        self.flush()
        return collect()


def flush_all() -> None:
    """Hand over all that waits in this process."""
    for known in _batches.copy():
        if batch := known():
            batch.flush()


@cache
def _flush_at_exit() -> None:
    atexit.register(flush_all)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe many values at once: once for each bucket that they fall into, and once for their sum.

    prometheus_client has no public call for that: this one function uses its private `_upper_bounds`, `_buckets` and
    `_sum`, as of 0.22, and calls `observe` for each value where they are not there.

    Args:
        histogram: Without labels, or the child for its labels.
        values: Finite.
    """
    try:
        bounds, buckets, total = histogram._upper_bounds, histogram._buckets, histogram._sum
    except AttributeError:
        for value in values:
            histogram.observe(value)
        return
    ordered = sorted(values)  # then a bucket takes one look: a third of the time of looking up each value's
    seen = 0
    for bound, bucket in zip(bounds, buckets, strict=True):
        if seen == len(ordered):
            break
        if count := bisect_right(ordered, bound, seen) - seen:
            bucket.inc(count)
            seen += count
    total.inc(sum(values))
