from __future__ import annotations

from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.runs.status import (
    MESSAGE_FOLLOWERS,
    RUN_FOLLOWERS,
    STEP_FOLLOWERS,
    has_ended,
    predecessors,
    time_field,
)


def test_every_status_has_its_row() -> None:
    """No status of a run is forgotten, neither as one that is nor as one that comes."""
    assert set(RUN_FOLLOWERS) == set(RunStatus)
    reached = {status for followers in RUN_FOLLOWERS.values() for status in followers}
    assert reached == set(RunStatus)


def test_ended_runs_stay_as_they_are() -> None:
    """Nothing follows what is not active, and something follows all that is."""
    for status, followers in RUN_FOLLOWERS.items():
        assert bool(followers) is (status in ACTIVE)
        assert has_ended(status) is (status not in ACTIVE)


def test_every_active_run_can_expire() -> None:
    """No thread is blocked for ever."""
    assert predecessors(RunStatus.EXPIRED) == ACTIVE


def test_answers_come_from_runs_in_progress_alone() -> None:
    """Two who finish a run: the second finds it ended."""
    for status in (RunStatus.COMPLETED, RunStatus.INCOMPLETE, RunStatus.REQUIRES_ACTION):
        assert predecessors(status) == {RunStatus.IN_PROGRESS}


def test_messages_and_steps_end_once() -> None:
    """What was in progress has one end."""
    assert [status for status, followers in MESSAGE_FOLLOWERS.items() if followers] == ["in_progress"]
    assert [status for status, followers in STEP_FOLLOWERS.items() if followers] == ["in_progress"]


def test_times_are_kept_where_the_api_has_a_field() -> None:
    """Three statuses have a time of their own; the others have none."""
    assert {status: time_field(status) for status in RunStatus if time_field(status)} == {
        RunStatus.COMPLETED: "completed_at",
        RunStatus.FAILED: "failed_at",
        RunStatus.CANCELLED: "cancelled_at",
    }
