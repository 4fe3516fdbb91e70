"""The metrics of several processes on one page, from the files in which prometheus_client keeps them.

With PROMETHEUS_MULTIPROC_DIR set, every value is in a file per process and metric type:
https://prometheus.github.io/client_python/multiprocess/. comps makes its gauge without saying how to merge it, which
would show one for each process id; here every gauge is the sum over the processes that live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample


class SummedMetrics(CollectorRegistry):
    """What the files of all processes hold.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.register(_SummedCollector(folder))


class _SummedCollector(Collector):
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        for metric in self._merged():
            if metric.type == "gauge":
                metric.samples = _summed(metric.samples)
            yield metric

    def _merged(self) -> Iterable[Metric]:
        collector = MultiProcessCollector(None, self._folder)  # type: ignore[no-untyped-call]  # as it ships
        with suppress(FileNotFoundError):  # the gauges of a process that just died
            return list(collector.collect())  # type: ignore[no-untyped-call]  # as it ships
        return list(collector.collect())  # type: ignore[no-untyped-call]  # as it ships


def _summed(samples: Iterable[Sample]) -> list[Sample]:
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "pid")
        key = (sample.name, labels)
        sums[key] = sums.get(key, 0.0) + sample.value
    return [Sample(name, dict(labels), value) for (name, labels), value in sums.items()]
