"""Moments: as `datetime` writes them, though little of it is done for each."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from servicekit.records.timestamps import Timestamps

#: Some second of 2026, and the last one of its year.
SECOND = 1_790_000_000
NEW_YEAR = 1_798_761_599


def _reference(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")


def test_timestamps_pad_milliseconds_and_pass_into_the_next_second_day_and_year() -> None:
    """One after the other, as records come; half a microsecond before a second it is the second."""
    shown = Timestamps()
    assert shown(SECOND) == "2026-09-21T14:13:20.000+00:00"
    assert shown(SECOND + 0.007) == "2026-09-21T14:13:20.007+00:00"
    assert shown(SECOND + 0.0999) == "2026-09-21T14:13:20.099+00:00"
    assert shown(SECOND + 0.9999) == "2026-09-21T14:13:20.999+00:00"
    assert shown(SECOND + 0.99999976) == "2026-09-21T14:13:21.000+00:00"
    assert shown(NEW_YEAR + 0.5) == "2026-12-31T23:59:59.500+00:00"
    assert shown(NEW_YEAR + 1.5) == "2027-01-01T00:00:00.500+00:00"


def test_timestamps_go_back_where_the_clock_does() -> None:
    """What is kept of the last moment is never told of an earlier one."""
    shown = Timestamps()
    moments = [SECOND + 1.25, SECOND + 0.25, SECOND + 1.25, SECOND + 0.25, SECOND]
    assert [shown(moment) for moment in moments] == [_reference(moment) for moment in moments]


@given(st.lists(st.floats(SECOND, SECOND + 3) | st.floats(0, 2**32), max_size=20))
def test_timestamps_are_those_of_datetime(moments: list[float]) -> None:
    """To the last digit, in any order."""
    shown = Timestamps()
    assert [shown(moment) for moment in moments] == [_reference(moment) for moment in moments]
