"""`megaservice runs`: the list of runs and the table of models, from records that lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from megaservice.cli.main import main
from servicekit.records.summary import percentile


def _record(**fields: Any) -> dict[str, Any]:
    usage = {"total_tokens": 10}
    record = {"model": "m", "provider": "p", "latency_ms": 1.0, "ttft_ms": None, "usage": usage, "status": "succeeded"}
    return {**record, "grade": None, "error": None, **fields}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with two runs, the older one rotated and cut in its last line."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    older = [_record(latency_ms=float(number), ttft_ms=0.5, grade={"score": 0.5}) for number in range(1, 101)]
    newer = [
        _record(model="other", provider=None, grade={"score": None, "error": {"code": "upstream_timeout"}}),
        _record(model="other", provider=None, usage=None, status="failed", error={"code": "upstream_timeout"}),
        _record(model="other", provider=None, usage=None, status="cancelled"),
        _record(model=None, provider=None, usage=None, status="failed", error={"code": "overloaded"}),
    ]
    _write(tmp_path / "20260101-000000-aaaaaa", older[60:], older[:60])
    with (tmp_path / "20260101-000000-aaaaaa" / "interactions.jsonl").open("a") as file:
        file.write('{"model": "cut')
    _write(tmp_path / "20260102-000000-bbbbbb", newer, [])
    (tmp_path / "something-else").mkdir()
    return tmp_path


def _write(folder: Path, newest: list[dict[str, Any]], rotated: list[dict[str, Any]]) -> None:
    folder.mkdir()
    manifest = {"started_at": "2026-01-01T00:00:00Z", "git_sha": "0123456789abcdef" * 2}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, records in (("interactions.jsonl", newest), ("interactions.1.jsonl", rotated)):
        if records:
            (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.usefixtures("runs")
def test_runs_prints_the_runs_and_a_row_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The newest run first, the most asked model first; rotated files count, an unfinished line does not."""
    assert main(["runs"]) == 0
    head, newer, older, _, columns, first, second, third = (
        " ".join(line.split()) for line in capsys.readouterr().out.splitlines()
    )
    assert head == "RUN STARTED COMMIT REQUESTS FAILED"
    assert newer == "20260102-000000-bbbbbb 2026-01-01T00:00:00Z 0123456789 4 2"
    assert older == "20260101-000000-aaaaaa 2026-01-01T00:00:00Z 0123456789 100 0"
    assert columns == "MODEL PROVIDER REQUESTS P50 MS P95 MS TTFT P50 TOKENS SCORE CANCELLED ERRORS"
    assert first == "m p 100 50.0 95.0 0.5 1000 0.50 0 -"
    assert second == "other - 3 1.0 1.0 - 10 - 1 upstream_timeout 1"
    assert third == "(default) - 1 - - - 0 - 0 overloaded 1"


@pytest.mark.usefixtures("runs")
def test_runs_takes_one_run_or_the_latest_and_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get the same figures as one object."""
    assert main(["runs", "20260101-000000-aaaaaa", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [run["requests"] for run in shown["runs"]] == [100]
    assert shown["models"][0]["latency_p95_ms"] == 95.0
    assert main(["runs", "latest"]) == 0
    assert "aaaaaa" not in capsys.readouterr().out


@pytest.mark.usefixtures("runs")
def test_runs_names_the_nearest_run_for_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2."""
    assert main(["runs", "20260101-000000-aaaaab"]) == 2
    assert "Did you mean 20260101-000000-aaaaaa?" in capsys.readouterr().err


def test_runs_says_where_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder yet is no failure; records that are switched off are told of."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "none"))
    assert main(["runs"]) == 0
    assert "There are no records" in capsys.readouterr().out
    monkeypatch.setenv("RUNS_DIR", "")
    assert main(["runs"]) == 2
    assert "RUNS_DIR is empty" in capsys.readouterr().err


def test_percentile_is_one_of_the_values() -> None:
    """Nearest rank: no figure that nobody measured."""
    assert percentile([], 50) is None
    assert percentile([3.0], 95) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 95) == 4.0
