"""`/metrics`: of this process, or summed over the workers where several serve one port."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest

from servicekit.metrics_batch import flush_all
from servicekit.metrics_folder import FOLDER_VARIABLE


def metrics_page(registries: Sequence[CollectorRegistry]) -> bytes:
    """Return the page.

    Args:
        registries: This process's own; where several processes share the port, all that they hold is in the files.
    """
    if folder := os.environ.get(FOLDER_VARIABLE):
        from servicekit.asgi.summed_metrics import SummedMetrics  # noqa: PLC0415 - only workers need it

        flush_all()  # the others' files may be half a second behind
        return generate_latest(SummedMetrics(folder))
    return b"".join(generate_latest(registry) for registry in registries)
