"""What users read when a value does not fit: never the words of the library that found it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from megaservice.pipeline.located_yaml import LocatedYaml
from megaservice.pipeline.spec import NodeSpec, PipelineHead
from megaservice.pipeline.wording import note_validation_problems

#: Words of pydantic and of Python.
_FOREIGN = re.compile(r"Input should|String should|Value error|valid |tuple|dictionar|pattern|instance of|after valid")
_WRONG = [None, True, 3, -1.5, "", "a b", [], [3], ["a b"], [None], {}, {3: 4}, {"a": None}, {"a": [1]}]


def _node(fields: dict[Any, Any]) -> dict[str, Any]:
    return {"service_type": "llm", "endpoint": "http://a:1/", **fields}


def _sentences(model: type[BaseModel], fields: dict[str, Any]) -> list[str]:
    document = LocatedYaml("p.yaml")
    try:
        model.model_validate(fields)
    except ValidationError as exc:
        note_validation_problems(document, exc, model, ())
    return [problem.message for problem in document.problems]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"service_type": "gradr"},
            "expected 'llm', 'grader', 'text', 'json', 'guard' or 'select', found 'gradr'. Did you mean 'grader'?",
        ),
        ({"prompt": {"history": "hole"}}, "or 'last_user_message', found 'hole'. Did you mean 'whole'?"),
        ({"replicas": "http://a:2/"}, "'replicas': expected a list, found 'http://a:2/'; write [http://a:2/]."),
        ({"replicas": ["a"]}, "'replicas[0]': 'a' is no URL; write one such as http://host:port/path."),
        ({"replicas": ["http://0.0.0.0:1/"]}, "'replicas[0]': 0.0.0.0 is an address to listen on"),
        ({"concurrency": 4}, "'concurrency': expected a mapping with the keys limit, queue, queue_seconds, found 4."),
        ({"attach": "x"}, "'attach': expected a mapping with the keys as, fields, found 'x'."),
        ({"attach": {}}, "'as' is missing; write 'as: grade'."),
        ({"parameters": [1]}, "'parameters': expected a mapping such as {key: value}, found a list."),
        ({"model": 3}, "'model': expected a text, found 3; put it in quotes: '3'."),
        ({"model": ["a"]}, "'model': expected a text, found a list."),
        ({"inputs": None}, "'inputs': expected a mapping such as {key: value}, found nothing."),
        ({"timeouts": {"idle_seconds": 0}}, "'idle_seconds': expected a number greater than 0, found 0."),
        ({"timeouts": {"idle_seconds": "x"}}, "'idle_seconds': expected a number, found 'x'."),
        ({"retries": {"attempts": 11}}, "'attempts': expected a number of at most 10, found 11."),
        ({"retries": {"attempts": 1.5}}, "'attempts': expected a whole number, found 1.5."),
        ({"concurrency": {"limit": 0}}, "'limit': expected a number of at least 1, found 0."),
        ({"retries": {"atempts": 1}}, "the key 'atempts' is not known here. Did you mean 'attempts'?"),
        ({None: 1}, "the key 'None' is not known here. The keys are service_type, endpoint,"),
        ({"model": {"a": "b" * 300}}, "'model': expected a text, found a mapping."),
    ],
)
def test_wording_of_a_nodes_field_says_what_was_expected_and_found(fields: dict[Any, Any], sentence: str) -> None:
    """One sentence with the remedy."""
    (problem,) = _sentences(NodeSpec, _node(fields))
    assert sentence in problem


@pytest.mark.parametrize(
    ("endpoints", "sentence"),
    [
        ([], "'endpoints': expected at least one, found an empty list; write what is wanted, or leave the key out."),
        ("/v1/x", "'endpoints': expected a list, found '/v1/x'; write [/v1/x]."),
        (["v1/x"], "'endpoints[0]': 'v1/x' is no path; write '/v1/x'."),
    ],
)
def test_wording_of_endpoints_says_what_was_expected_and_found(endpoints: object, sentence: str) -> None:
    """A list whose only item is wrong is not called empty too."""
    assert _sentences(PipelineHead, {"name": "a", "endpoints": endpoints}) == [sentence]


@pytest.mark.parametrize("model", [NodeSpec, PipelineHead])
@pytest.mark.parametrize("value", _WRONG, ids=repr)
def test_wording_never_shows_the_librarys_words(model: type[BaseModel], value: object) -> None:
    """Any field with any wrong value, nested ones too; a field that is added is covered."""
    for key, info in model.model_fields.items():
        annotations = [info.annotation, *getattr(info.annotation, "__args__", ())]
        inner = [item for item in annotations if isinstance(item, type) and issubclass(item, BaseModel)]
        nested = [{sub.alias or name: value} for item in inner for name, sub in item.model_fields.items()]
        for tried in (value, *nested):
            fields = {"name": "a", "endpoints": ["/a"]} if model is PipelineHead else _node({})
            for sentence in _sentences(model, {**fields, key: tried}):
                assert not _FOREIGN.search(sentence), sentence


def test_wording_shows_no_value_of_a_key_and_cuts_long_ones() -> None:
    """A secret where its variable's name belongs stays out of the logs."""
    for key in ("sk-123 456", 123456, "gsk_LEAKME456"):
        (secret,) = _sentences(NodeSpec, _node({"api_key_env": key}))
        assert "456" not in secret
    (long,) = _sentences(NodeSpec, _node({"dependency": "x" * 300}))
    assert len(long) < 160
