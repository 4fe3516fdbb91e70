"""Named moments of a run's life at which a test may kill the process, as kill -9 would.

Production never sets one: a point is then a function that does nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, get_args

Point = Literal[
    "in_create",  # before the transaction that makes a run is committed
    "after_create",  # the run is stored, nothing works at it
    "after_begin",  # it is in progress, the model was not asked
    "mid_stream",  # a part of the answer came and was shown
    "before_finalise",  # the whole answer came, nothing of its end is stored
    "in_finalise",  # the answer is written, its transaction is not committed
    "after_finalise",  # the answer is stored, dbos does not know yet
    "after_requires_action",  # the tool calls are stored
    "in_submit",  # the tool outputs are written, not committed
    "after_submit",  # the tool outputs are stored, nothing works at the run
    "mid_cancel",  # the cancellation is written, not committed
    "after_cancel",  # the cancellation is stored, the work goes on
]
POINTS: Final[tuple[Point, ...]] = get_args(Point)

Reach = Callable[[Point], None]


def killer(file: Path | None) -> Reach:
    """Return what kills this process when a point is reached.

    Args:
        file: Names the point, once it is there; without a file no point does anything.
    """

    def reach(point: Point) -> None:
        if file is not None and file.exists() and file.read_text() == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach
