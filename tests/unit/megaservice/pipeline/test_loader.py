"""From a folder of files to pipelines, or to every problem in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from megaservice.pipeline.loader import load_pipelines
from megaservice.pipeline.problems import PipelineError
from megaservice.pipeline.spec import Dependency, History
from megaservice.settings import pipeline_variables
from servicekit.environment import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "compose" / "pipelines"


def _write(folder: Path, name: str, mega: str, node: str = "endpoint: http://127.0.0.1:1/") -> None:
    text = f"opea_micro_services:\n  llm: {{{node}}}\nopea_mega_service: {{{mega}}}\n"
    (folder / name).write_text(text, encoding="utf-8")


def _problems(folder: Path) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        load_pipelines(folder, {})
    return [problem.removeprefix(f"{folder}/").removeprefix(str(folder)) for problem in caught.value.problems]


def test_loader_reads_the_shipped_files() -> None:
    """Every file is fine without any setting, and two of them say what the README says of them."""
    shipped = {pipeline.spec.name: pipeline for pipeline in load_pipelines(SHIPPED, {})}
    assert len(shipped) == len(list(SHIPPED.glob("*.yaml")))
    chat, graded = shipped["chat"], shipped["translate-and-grade"]
    assert (chat.spec.name, chat.spec.endpoints) == ("chat", ("/v1/chat/completions", "/v1/example-service"))
    assert (graded.spec.name, graded.spec.endpoints) == ("translate-and-grade", ("/v1/chat",))
    assert graded.dag.order == ("llm", "grader")
    assert graded.answer_node == "llm"
    assert graded.attached == {"grader": "grade"}
    llm, grader = graded.spec.nodes["llm"], graded.spec.nodes["grader"]
    assert llm.endpoint == "http://127.0.0.1:9002/v1/chat/completions"
    assert grader.endpoint == "http://127.0.0.1:9003/v1/grade"
    assert (llm.prompt.history, llm.parameters) == (History.LAST_USER_MESSAGE, {"temperature": 0})
    assert grader.dependency is Dependency.SOFT


@pytest.mark.parametrize(
    "names", [("LLM_SERVICE_HOST_IP", "LLM_SERVICE_PORT"), ("LLM_SERVER_HOST_IP", "LLM_SERVER_PORT")]
)
def test_loader_fills_in_the_variables_that_users_set(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """OPEA's names and their older forms lead to the same place."""
    for name, value in zip(names, ("10.0.0.7", "9999"), strict=True):
        monkeypatch.setenv(name, value)
    chat = next(found for found in load_pipelines(SHIPPED, pipeline_variables()) if found.spec.name == "chat")
    assert chat.spec.nodes["llm"].endpoint == "http://10.0.0.7:9999/v1/chat/completions"


def test_loader_reads_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    """A pipeline without a name is called after its file, and is at that name; other files are left alone."""
    _write(tmp_path, "b_two.yml", "")
    _write(tmp_path, "a.yaml", "name: first")
    (tmp_path / "notes.txt").write_text("not a pipeline", encoding="utf-8")
    pipelines = load_pipelines(tmp_path, {})
    assert [pipeline.spec.name for pipeline in pipelines] == ["first", "b-two"]
    assert [pipeline.spec.endpoints for pipeline in pipelines] == [("/v1/first",), ("/v1/b-two",)]


def test_loader_reports_a_folder_without_files(tmp_path: Path) -> None:
    """Nothing to run is a problem, not an empty gateway."""
    (problem,) = _problems(tmp_path)
    assert "there is no pipeline file (*.yaml, *.yml) in this folder" in problem


def test_loader_reports_the_problems_of_all_files_together(tmp_path: Path) -> None:
    """One bad file does not hide another."""
    _write(tmp_path, "a.yaml", "", node="model: x")
    _write(tmp_path, "b.yaml", "flow: []")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.yaml").write_text("a: [", encoding="utf-8")
    problems = _problems(tmp_path)
    assert [problem.split(":")[0] for problem in problems] == ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]
    assert "cannot be read" in problems[2]


def test_loader_reports_pipelines_that_clash(tmp_path: Path) -> None:
    """Two files may have neither one name nor one endpoint; it is said where the second has it."""
    _write(tmp_path, "a.yaml", "name: same, endpoints: [/v1/x, /v1/y]")
    _write(tmp_path, "b.yaml", "name: same, endpoints: [/v1/z, /v1/x]")
    assert _problems(tmp_path) == [
        "b.yaml:3:21: name 'same' is also that of the pipeline in a.yaml; change one.",
        "b.yaml:3:52: endpoint /v1/x is also that of pipeline 'same' in a.yaml; change one.",
    ]


def test_loader_reports_a_clash_beside_other_problems(tmp_path: Path) -> None:
    """A file that is wrong elsewhere clashes too."""
    _write(tmp_path, "a.yaml", "endpoints: [/v1/b]")
    _write(tmp_path, "b.yaml", "", node="endpoint: nowhere")
    assert [problem.split(": ")[0] for problem in _problems(tmp_path)] == ["b.yaml:2:9", "b.yaml:3:1"]


def test_loader_reports_one_clash_of_two_files_with_one_name_and_no_endpoints(tmp_path: Path) -> None:
    """Their default endpoints are the same only because their names are; `*.yml` files are read too."""
    _write(tmp_path, "a.yaml", "")
    _write(tmp_path, "a.yml", "")
    (problem,) = _problems(tmp_path)
    assert "name 'a' is also that of the pipeline in a.yaml; change one." in problem


def test_loader_reports_an_endpoint_that_is_named_twice_in_one_file(tmp_path: Path) -> None:
    """The same path twice is a slip."""
    _write(tmp_path, "a.yaml", "endpoints: [/v1/x, /v1/x]")
    assert _problems(tmp_path) == ["a.yaml:3:40: endpoint /v1/x is there twice; keep one."]
