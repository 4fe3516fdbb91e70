"""The table of `status`."""

from __future__ import annotations

import pytest

from megaservice.cli.services import configured_services
from megaservice.cli.status import ServiceStatus, format_duration, format_table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3_725, "1 h 2 min"),
        (86_400, "1 d 0 h"),
        (200_000, "2 d 7 h"),
    ],
)
def test_format_duration_writes_the_two_largest_units(seconds: int, text: str) -> None:
    """Short enough for a column."""
    assert format_duration(seconds) == text


def test_format_table_shows_every_service_in_columns() -> None:
    """A stopped service has neither pid nor uptime; every port is shown."""
    llm, grader, *_ = configured_services({"LLM_ENDPOINT_PORT": "8008"})
    table = format_table(
        [
            ServiceStatus(llm, "running", 4711, 61, None),
            ServiceStatus(grader, "stopped", 0, 0, "not running"),
        ]
    )
    assert table.splitlines() == [
        "SERVICE  STATE    PID   PORT        UPTIME     READY",
        "llm      running  4711  9002, 8008  1 min 1 s  ready",
        "grader   stopped  -     9003        -          not running",
    ]
