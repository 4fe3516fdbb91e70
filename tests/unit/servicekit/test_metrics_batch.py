"""Observations that are handed to prometheus_client many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram

from servicekit.metrics_batch import MetricsBatch, flush_all, observe_all


def _samples(registry: CollectorRegistry) -> dict[str, float]:
    return {
        f"{sample.name} {sample.labels.get('le')}": sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_observe_all_gives_what_observe_gives_one_by_one(count: int) -> None:
    """Every bucket, values on a bound and beyond the last one included; the sum but for the last digits."""
    random = Random(count)
    values = [*Histogram.DEFAULT_BUCKETS[:count], *(random.expovariate(2) for _ in range(count)), *[0.0, 99.0][:count]]
    one_by_one, together = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("seconds", "One by one", registry=one_by_one)
    for value in values:
        plain.observe(value)
    observe_all(Histogram("seconds", "Together", registry=together), values)
    expected = _samples(one_by_one)
    assert expected["seconds_count None"] == len(values)
    assert _samples(together) == pytest.approx(expected, rel=1e-12)


def test_observe_all_asks_for_each_where_the_histogram_is_built_otherwise() -> None:
    """A later prometheus_client may keep its buckets elsewhere; `observe` stays."""

    class Otherwise(Histogram):
        """Keeps what it is told."""

        def __init__(self) -> None:
            self.observed: list[float] = []

        def observe(self, amount: float, exemplar: object = None) -> None:
            self.observed.append(amount)

    histogram = Otherwise()
    observe_all(histogram, [0.1, 7.0])
    assert histogram.observed == [0.1, 7.0]


async def test_reader_of_a_metric_sees_what_was_just_observed() -> None:
    """Through the whole registry, through a part of it, and from the metric itself; nothing is counted twice."""
    batch, registry = MetricsBatch(), CollectorRegistry()
    gauge = Gauge("pending", "Now", registry=registry)
    batch.flush_before_reading(gauge)
    pending = batch.waiting(lambda changes: gauge.inc(sum(changes)))
    pending.add(1, monotonic())
    assert gauge._value.get() == 0
    assert registry.get_sample_value("pending") == 1
    pending.add(1, monotonic())
    part = registry.restricted_registry(["pending"])
    assert [sample.value for metric in part.collect() for sample in metric.samples] == [2]
    pending.add(-1, monotonic())
    assert [sample.value for metric in gauge.collect() for sample in metric.samples] == [1]


async def test_what_waits_is_handed_over_within_a_second_though_nobody_reads() -> None:
    """All of it together, and again whenever something waits."""
    taken: list[list[float]] = []
    waiting = MetricsBatch().waiting(lambda values: taken.append(list(values)))
    for number in (1.0, 2.0):
        waiting.add(number, monotonic())
        waiting.add(number, monotonic())
        assert len(taken) == number - 1
        async with asyncio.timeout(1):
            while len(taken) < number:  # noqa: ASYNC110 - a timer of its own does it
                await asyncio.sleep(0.02)
    assert taken == [[1.0, 1.0], [2.0, 2.0]]


async def test_list_that_is_full_is_handed_over_at_once() -> None:
    """So that no turn of the event loop has much to add up."""
    taken: list[int] = []
    waiting = MetricsBatch().waiting(lambda values: taken.append(len(values)))
    for _ in range(1100):
        waiting.add(1, monotonic())
    assert taken == [512, 512]
    flush_all()
    assert taken == [512, 512, 76]


def test_without_an_event_loop_nothing_waits() -> None:
    """There is nobody who would set a timer."""
    taken: list[float] = []
    waiting = MetricsBatch().waiting(taken.extend)
    waiting.add(1, monotonic())
    waiting.add(2, monotonic())
    assert taken == [1, 2]


def test_event_loop_that_ended_before_its_timer_leaves_its_values_to_the_next() -> None:
    """As where each call has its own `asyncio.run`."""
    taken: list[float] = []
    waiting = MetricsBatch().waiting(taken.extend)

    async def add(value: float, later: float, stays: float) -> None:
        waiting.add(value, monotonic() + later)
        await asyncio.sleep(stays)

    asyncio.run(add(1, 0, 0))
    assert taken == []
    asyncio.run(add(2, 1, 0.6))
    assert taken == [1, 2]


async def test_timer_that_comes_late_leaves_the_one_that_was_set_meanwhile() -> None:
    """Else every turn of the loop that takes too long would leave one more timer, each of which calls for the next."""
    batch = MetricsBatch()
    taken: list[float] = []
    waiting = batch.waiting(taken.extend)
    waiting.add(1, monotonic())
    await asyncio.sleep(0.2)
    waiting.add(2, monotonic() + 1)
    second = batch.due
    await asyncio.sleep(0.4)
    assert taken == [1, 2]
    assert batch.due == second


async def test_observation_during_the_handing_over_neither_blocks_nor_is_lost() -> None:
    """The garbage collector may end a run in the middle of it."""
    batch = MetricsBatch()
    taken: list[float] = []
    late = batch.waiting(taken.extend)

    def take(values: Iterable[float]) -> None:
        for value in values:
            late.add(value, monotonic())

    early = batch.waiting(take)
    for _ in range(600):
        early.add(1, monotonic())
    batch.flush()
    batch.flush()
    assert len(taken) == 600


def test_threads_with_event_loops_of_their_own_lose_nothing_while_others_read() -> None:
    """The gauge is right and never below zero, whoever hands over."""
    batch, registry = MetricsBatch(), CollectorRegistry()
    gauge = Gauge("pending", "Now", registry=registry)
    histogram = Histogram("seconds", "Each", registry=registry)
    batch.flush_before_reading(gauge, histogram)
    pending = batch.waiting(lambda changes: gauge.inc(sum(changes)))
    seconds = batch.waiting(lambda values: observe_all(histogram, values))

    async def runs() -> None:
        for number in range(5000):
            pending.add(1, monotonic())
            seconds.add(0.25, monotonic())
            pending.add(-1, monotonic())
            if number % 100 == 0:
                await asyncio.sleep(0)

    def read() -> list[float | None]:
        return [registry.get_sample_value("pending") for _ in range(200)]

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(asyncio.run, runs()) for _ in range(4)]
        readers = [pool.submit(read) for _ in range(4)]
        for writer in writers:
            writer.result()
        seen = [value for reader in readers for value in reader.result()]
    assert all(value is not None and 0 <= value <= 4 for value in seen)
    assert registry.get_sample_value("pending") == 0
    assert registry.get_sample_value("seconds_count") == 20_000
    assert registry.get_sample_value("seconds_sum") == 5000
