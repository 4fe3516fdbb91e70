"""The end of log files: read without reading all, and followed through rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from megaservice.cli.log_files import Follower, last_lines, size_of
from megaservice.cli.logs import recent_lines
from megaservice.cli.run_dir import RunDir


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give the path of a log file that is not there yet."""
    return tmp_path / "service.log"


def test_last_lines_are_the_last_ones_of_a_file_of_many_blocks(log: Path) -> None:
    """The file is read from its end."""
    log.write_text("".join(f"line {number} {'x' * 100}\n" for number in range(5_000)))
    lines = last_lines(log, 300)
    assert [int(line.split()[1]) for line in lines] == list(range(4_700, 5_000))


def test_last_lines_keep_a_line_longer_than_a_block_whole(log: Path) -> None:
    """Nothing is cut at a block's border, nor inside a character."""
    log.write_text("first\n" + "è" * 40_000 + "\nlast\n")
    assert last_lines(log, 2) == ["è" * 40_000, "last"]


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_last_lines_give_at_most_the_count(log: Path, count: int, expected: list[str]) -> None:
    """Fewer where there are fewer; an unfinished last line counts."""
    log.write_text("a\nb\nc")
    assert last_lines(log, count) == expected


def test_last_lines_leave_out_what_an_earlier_run_wrote(log: Path) -> None:
    """`up` shows what was logged since it started."""
    log.write_text("old\n")
    since = size_of(log)
    with log.open("a") as file:
        file.write("new 1\nnew 2\n")
    assert last_lines(log, 9, since_byte=since) == ["new 1", "new 2"]


def test_last_lines_count_all_where_the_log_was_rotated_meanwhile(log: Path) -> None:
    """An offset beyond the end belongs to a file that is gone."""
    log.write_text("new\n")
    assert last_lines(log, 9, since_byte=4_000) == ["new"]


def test_last_lines_of_a_missing_file_are_none(log: Path) -> None:
    """A service that never ran has logged nothing."""
    assert last_lines(log, 5) == []
    assert size_of(log) == 0


def test_follower_gives_complete_lines_that_were_added(log: Path) -> None:
    """What was there before is not repeated, and half a line waits for its other half."""
    log.write_text("old\n")
    follower = Follower(log)
    with log.open("a") as file:
        file.write("one\ntw")
    assert follower.new_lines() == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert follower.new_lines() == ["two"]
    assert follower.new_lines() == []


def test_follower_goes_on_after_rotation(log: Path) -> None:
    """Supervisor renames the full log and starts a new one."""
    log.write_text("old\n")
    follower = Follower(log)
    log.rename(log.with_suffix(".log.1"))
    assert follower.new_lines() == []
    log.write_text("new and longer\n")
    assert follower.new_lines() == ["new and longer"]


def test_follower_waits_for_a_file_that_is_not_there(log: Path) -> None:
    """`logs -f` may be started before `up`."""
    follower = Follower(log)
    assert follower.new_lines() == []
    log.write_text("first\n")
    assert follower.new_lines() == ["first"]


def test_recent_lines_head_each_log_where_there_are_several(tmp_path: Path) -> None:
    """One log alone needs no heading; a missing one says where it would be."""
    run_dir = RunDir(tmp_path)
    run_dir.make()
    run_dir.log("llm").write_text("hello\n")
    assert list(recent_lines(run_dir, ["llm"], 5)) == ["hello"]
    both = list(recent_lines(run_dir, ["llm", "grader"], 5))
    assert both[:3] == ["==> llm <==", "hello", "==> grader <=="]
    assert str(run_dir.log("grader")) in both[3]
