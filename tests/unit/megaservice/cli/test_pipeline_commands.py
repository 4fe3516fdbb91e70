"""The commands about pipeline files: what they say, and their exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from megaservice.cli.main import main

GOOD = """\
opea_micro_services:
  llm: {endpoint: "http://127.0.0.1:1/v1/chat/completions"}
opea_mega_service:
  name: chat
  endpoints: [/v1/chat]
  mega_flow: ["llm"]
"""
BAD = GOOD.replace("endpoint:", "endpiont:").replace('["llm"]', '["lm"]')


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_validate_says_that_a_file_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; nothing on standard output, so that scripts see problems alone."""
    file = _write(tmp_path, "chat.yaml", GOOD)
    assert main(["validate", file]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}: right: pipeline 'chat' at /v1/chat" in err


def test_validate_names_every_problem_of_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and a line with file, line, column and what to do for each."""
    good, bad = _write(tmp_path, "chat.yaml", GOOD), _write(tmp_path, "bad.yaml", BAD)
    assert main(["validate", good, bad]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"{bad}:") for line in lines)
    assert any(line.startswith(f"{bad}:2:") and "endpoint" in line for line in lines)


def test_validate_checks_what_the_files_of_a_folder_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two pipelines of one name are a problem of the folder, told once."""
    _write(tmp_path, "a.yaml", GOOD)
    _write(tmp_path, "b.yml", GOOD.replace("/v1/chat]", "/v1/b]"))
    assert main(["validate", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert "b.yml:4:" in line
    assert "a.yaml" in line


def test_validate_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`-` stands for it."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(BAD))
    assert main(["validate", "-"]) == 2
    assert capsys.readouterr().out.startswith("stdin:2:")


def test_validate_answers_scripts_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, whether there are problems or not."""
    good, bad = _write(tmp_path, "chat.yaml", GOOD), _write(tmp_path, "bad.yaml", BAD)
    assert main(["validate", "--json", good, bad]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["pipelines"] == [{"file": good, "name": "chat", "endpoints": ["/v1/chat"]}]
    assert {"file", "line", "column", "message"} == answer["problems"][0].keys()


def test_validate_notes_what_is_right_but_may_surprise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two kinds of service at one port: one server may be both, so it is no problem."""
    grader = '  grader: {endpoint: "http://127.0.0.1:1/v1/grade"}\nopea_mega_service'
    file = _write(
        tmp_path, "chat.yaml", GOOD.replace("opea_mega_service", grader).replace('["llm"]', '["llm >> grader"]')
    )
    assert main(["validate", file]) == 0
    assert f"{file}:3:" in capsys.readouterr().err
    assert main(["validate", "--json", file]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert "127.0.0.1:1" in answer["notes"][0]["message"]


def test_missing_file_is_one_line_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 for each command that reads a file."""
    _write(tmp_path, "chat.yaml", GOOD)
    missing = str(tmp_path / "chta.yaml")
    assert main(["validate", missing]) == 2
    assert "Did you mean 'chat.yaml'?" in capsys.readouterr().out
    assert main(["run", missing, "-m", "Hello"]) == 2
    assert "Did you mean 'chat.yaml'?" in capsys.readouterr().err


def test_run_without_a_message_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, saying what to give."""
    assert main(["run", _write(tmp_path, "chat.yaml", GOOD)]) == 2
    assert "--message" in capsys.readouterr().err


def test_run_refuses_a_bad_request_before_it_asks_anybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The request in --input is checked as the gateway checks it."""
    request = _write(tmp_path, "request.json", '{"messages": "Hello", "temperature": 9}')
    assert main(["run", _write(tmp_path, "chat.yaml", GOOD), "--input", request]) == 2
    assert "temperature" in capsys.readouterr().err


def test_run_says_how_to_start_a_service_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3 and one sentence with the remedy."""
    assert main(["run", _write(tmp_path, "chat.yaml", GOOD), "-m", "Hello"]) == 3
    err = capsys.readouterr().err
    assert "node 'llm' at http://127.0.0.1:1/v1/chat/completions cannot be reached" in err
    assert "make up" in err
    assert "llm failed" in err


def test_run_tells_scripts_of_a_failure_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is OpenAI's body, beside what became of each node."""
    assert main(["run", _write(tmp_path, "chat.yaml", GOOD), "-m", "Hello", "--json"]) == 3
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["error"]["code"] == "upstream_unreachable"
    assert [node["state"] for node in answer["nodes"]] == ["failed"]
    assert err == ""


@pytest.mark.parametrize(
    ("drawing", "beginning"), [("text", ""), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")]
)
def test_graph_draws_in_every_format(
    drawing: str, beginning: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, or into a file."""
    file = _write(tmp_path, "chat.yaml", GOOD)
    assert main(["graph", file, "--format", drawing]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(beginning)
    assert "llm" in shown
    assert main(["graph", file, "--format", drawing, "-o", str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn").read_text() == shown


def test_graph_of_a_file_with_problems_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, as everywhere."""
    assert main(["graph", _write(tmp_path, "bad.yaml", BAD)]) == 2
    assert "bad.yaml:2:" in capsys.readouterr().err


def test_convert_writes_the_file_and_says_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file alone on standard output, so that it can be redirected."""
    file = _write(tmp_path, "chat.yaml", GOOD.replace("/v1/chat]", "/v1/talk]"))
    assert main(["convert", file, "--to", "gmc"]) == 0
    out, err = capsys.readouterr()
    assert "kind: GMConnector" in out
    assert "not carried over: endpoints" in err


def test_schema_is_json_that_names_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    """What an editor is given."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"opea_micro_services", "opea_mega_service"} <= schema["properties"].keys()


def test_output_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, no trace."""
    assert main(["schema", "-o", str(tmp_path / "no" / "where")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
