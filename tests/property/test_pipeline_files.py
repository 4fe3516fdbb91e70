"""Files that somebody has broken: whatever is in them, there is a pipeline or there are problems, and no exception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megaservice.pipeline.conversion import Dialect, convert
from megaservice.pipeline.drawing import to_dot, to_mermaid, to_svg, to_text
from megaservice.pipeline.loader import read_pipeline
from servicekit.environment import PROJECT_ROOT

FIXTURES = PROJECT_ROOT / "tests" / "unit" / "megaservice" / "pipeline" / "fixtures"
FILES = sorted([*FIXTURES.glob("*.yaml"), *(PROJECT_ROOT / "compose" / "pipelines").glob("*.yaml")])
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RUBBISH: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        0,
        -1,
        3.5,
        True,
        "",
        "x",
        "request",
        "${X}",
        "a >> b",
        "http://a:1/",
        [],
        [1],
        ["llm"],
        {},
        {"a": 1},
        {1: 2},
    ]
)


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any YAML
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(inner for key, value in items for inner in _paths(value, (*path, key)))]


def _broken(data: Any, path: tuple[Any, ...], change: str, rubbish: Any) -> Any:  # noqa: ANN401 - any YAML
    if not path:
        return rubbish if change == "replace" else data
    *above, last = path
    holder = data
    for key in above:
        holder = holder[key]
    if change == "replace":
        holder[last] = rubbish
    elif change == "remove":
        del holder[last]
    elif change == "rename" and isinstance(holder, dict):
        holder[f"{last}x"] = holder.pop(last)
    return data


@QUICK
@given(st.data())
def test_broken_file_has_problems_or_is_a_pipeline(data: st.DataObject) -> None:
    """Up to three values are replaced, removed or renamed, anywhere in a file of any dialect."""
    file: Path = data.draw(st.sampled_from(FILES))
    document = yaml.safe_load(file.read_text("utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(document)))
        change = data.draw(st.sampled_from(["replace", "remove", "rename"]))
        document = _broken(document, path, change, data.draw(RUBBISH))
    reading = read_pipeline(yaml.safe_dump(document), "broken.yaml", {})
    assert (reading.pipeline is None) == bool(reading.problems)
    for problem in reading.problems:
        assert problem.line >= 1
        assert problem.message
    if reading.pipeline is not None:
        for dialect in Dialect:
            convert(reading.pipeline, dialect)
        for draw in (to_text, to_mermaid, to_dot, to_svg):
            assert draw(reading.pipeline)


@QUICK
@given(st.text(max_size=60))
def test_text_that_is_no_pipeline_has_problems(text: str) -> None:
    """Whatever the text is."""
    assert read_pipeline(text, "text.yaml", {}).problems
