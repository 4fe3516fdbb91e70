"""What the load generator is asked for, and on which cores."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.cores import one_core_each, room_for_workers
from benchmarks.load import EXPECTED_GRADE, EXPECTED_TEXT, Load, StreamScript, load_arguments
from benchmarks.scenarios import all_scenarios, quick
from benchmarks.tools.build import build_tools
from servicekit.environment import PROJECT_ROOT

URL = "http://127.0.0.1:1/v1/chat/completions"


def _value(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_load_arguments_of_json_expect_the_text(tmp_path: Path) -> None:
    """An answer without it is an error."""
    arguments = load_arguments(URL, Load(64, duration_seconds=2, warmup_seconds=0.5), tmp_path, graded=False)
    assert _value(arguments, "--mode") == "json"
    assert _value(arguments, "--expect") == EXPECTED_TEXT
    assert (_value(arguments, "--duration"), _value(arguments, "--warmup")) == ("2", "0.5")
    assert "--requests" not in arguments
    assert json.loads(Path(_value(arguments, "--body-file")).read_text())["stream"] is False


def test_load_arguments_of_a_stream_carry_its_script(tmp_path: Path) -> None:
    """The upstream reads the script in the user's message."""
    script = StreamScript(tokens=100, interval_ms=20, first_token_ms=100, holds_headers=True)
    arguments = load_arguments(URL, Load(9, script, requests=9, timeout_seconds=15), tmp_path, graded=True)
    body = json.loads(Path(_value(arguments, "--body-file")).read_text())
    assert "bench:n=100,t=20000,f=100000,h=1,b=1,s=0" in body["messages"][0]["content"]
    assert body["stream"] is True
    assert _value(arguments, "--tokens") == "100"
    assert _value(arguments, "--expect") == EXPECTED_GRADE
    assert (_value(arguments, "--requests"), _value(arguments, "--timeout")) == ("9", "15")


def test_load_arguments_name_the_stalled_streams(tmp_path: Path) -> None:
    """They have a script of their own."""
    load = Load(2, StreamScript(tokens=1), requests=2, stalled=45)
    arguments = load_arguments(URL, load, tmp_path, graded=False)
    assert _value(arguments, "--stalled") == "45"
    assert "s=1" in Path(_value(arguments, "--stalled-body-file")).read_text()


def test_cores_are_one_each_and_shared_where_there_is_one() -> None:
    """The gateway does not pay for the tools, where that can be."""
    two, one = one_core_each(frozenset({0, 1, 2})), one_core_each(frozenset({5}))
    assert (two.gateway, two.tools) == (frozenset({0}), frozenset({2}))
    assert (one.gateway, one.tools) == (frozenset({5}), frozenset({5}))


def test_cores_for_workers_are_all_but_the_tools() -> None:
    """On two cores two workers and the tools share both."""
    four, two = room_for_workers(frozenset({0, 1, 2, 3})), room_for_workers(frozenset({0, 1}))
    assert (four.gateway, four.tools) == (frozenset({0, 1, 2}), frozenset({3}))
    assert (two.gateway, two.tools) == (frozenset({0, 1}), frozenset({0, 1}))


def test_quick_scenarios_are_bounded() -> None:
    """All of them together take about a minute."""
    for scenario in map(quick, all_scenarios()):
        assert scenario.load.connections <= 100
        assert scenario.load.duration_seconds <= 0.5
        assert scenario.load.requests == 0 or scenario.load.timeout_seconds <= 3


def test_compiled_tools_are_ignored_by_git() -> None:
    """What is compiled is not committed."""
    folder = build_tools.__defaults__[0] if build_tools.__defaults__ else None
    assert isinstance(folder, Path)
    relative = "/" + str(folder.relative_to(PROJECT_ROOT / "benchmarks")) + "/"
    assert relative in (PROJECT_ROOT / "benchmarks" / ".gitignore").read_text().splitlines()
