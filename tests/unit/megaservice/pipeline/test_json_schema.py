"""The JSON Schema says what the reader says: right files validate, typos do not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from jsonschema import Draft202012Validator

from megaservice.pipeline.json_schema import dialect_schema
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.problems import PipelineError
from servicekit.environment import PROJECT_ROOT

GALLERY = sorted((PROJECT_ROOT / "compose" / "pipelines").glob("*.yaml"))
FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("opea_*.yaml"))


def _errors(text: str) -> list[str]:
    validator = Draft202012Validator(dialect_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_schema_is_one_of_draft_2020_12() -> None:
    """It can be used as a schema, and every reference in it leads somewhere."""
    schema = dialect_schema()
    Draft202012Validator.check_schema(schema)
    for name in ("NodeSpec", "ConditionRule", "SwitchRule", "SplitRule", "RepeatRule", "FlowRule"):
        assert name in schema["$defs"]


def test_schema_describes_every_key_of_a_node() -> None:
    """An editor shows a sentence for each."""
    properties = dialect_schema()["$defs"]["NodeSpec"]["properties"]
    assert [key for key, value in properties.items() if not value.get("description")] == []


@pytest.mark.parametrize("file", [*GALLERY, *FIXTURES], ids=lambda file: file.name)
def test_schema_takes_every_file_that_the_reader_takes(file: Path) -> None:
    """The gallery and the fixtures."""
    assert _errors(file.read_text("utf-8")) == []


_NODE = "opea_micro_services: {llm: {endpoint: 'http://a:1/'}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "opea_micro_service: {llm: {endpoint: 'http://a:1/'}}",
        "opea_micro_services: {llm: {endpont: 'http://a:1/'}}",
        "opea_micro_services: {llm: {endpoint: 'http://a:1/', service_type: lmm}}",
        "opea_micro_services: {llm: {endpoint: 'http://a:1/', prompt: {sistem: x}}}",
        "opea_micro_services: {llm: {endpoint: 'http://a:1/', timeouts: {idle_seconds: 0}}}",
        "opea_micro_services: {request: {endpoint: 'http://a:1/'}}",
        "opea_micro_services: {}",
        f"{_NODE}opea_mega_service: {{mega_flow: ['llm >']}}",
        f"{_NODE}opea_mega_service: {{mega_flow: ['(llm']}}",
        f"{_NODE}opea_mega_service: {{flow: [llm]}}",
        f"{_NODE}opea_mega_service: {{mega_flow: [{{switch: request, cases: []}}]}}",
        f"{_NODE}opea_mega_service: {{mega_flow: [{{repeat: [llm], until: x, max: 50}}]}}",
        f"{_NODE}opea_mega_service: {{mega_flow: [{{split: request, weights: {{llm: -1}}}}]}}",
        f"{_NODE}opea_mega_service: {{mega_flow: [{{flow: 'a >> b', wen: x}}]}}",
    ],
)
def test_schema_refuses_what_the_reader_refuses(text: str) -> None:
    """A typo is seen in the editor and at the start."""
    assert _errors(text)
    with pytest.raises(PipelineError):
        parse_pipeline(text, "p.yaml", {})


def test_schema_takes_variables_where_numbers_and_choices_stand() -> None:
    """Before they are filled in they are texts."""
    assert not _errors(
        dedent("""
        opea_micro_services:
          llm:
            endpoint: http://${HOST:-a}:${PORT:-1}/
            dependency: ${DEPENDENCY:-soft}
            timeouts: {idle_seconds: "${IDLE:-3}"}
            retries: {attempts: "${TRIES:-2}"}
        """)
    )
