"""What the README shows of a pipeline is the file, and the edit that it proposes works."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from megaservice.pipeline.loader import parse_pipeline

_ROOT = Path(__file__).parents[3]
_README = (_ROOT / "README.md").read_text("utf-8")
_FILE = (_ROOT / "compose/pipelines/translate_and_grade.yaml").read_text("utf-8")


def _blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", _README, re.DOTALL)


def test_readme_shows_the_first_pipeline_as_it_is() -> None:
    """But for its comments and its description."""
    shown, file = yaml.safe_load(_blocks()[0]), yaml.safe_load(_FILE)
    del file["opea_mega_service"]["description"]
    assert shown == file


def test_readme_s_third_node_makes_a_pipeline() -> None:
    """Added where it says, with the last line changed as it says."""
    flow = re.search(r"change the last line to `(mega_flow: .*?)`", _README)
    assert flow is not None
    lines = _FILE.rstrip().splitlines()
    assert lines[-1].strip().startswith("mega_flow:")
    place = lines.index("opea_mega_service:")
    text = "\n".join([*lines[:place], _blocks()[1], *lines[place:-1], f"  {flow.group(1)}"])
    pipeline = parse_pipeline(text, "translate_and_grade.yaml", {})
    assert pipeline.dag.order == ("llm", "guard", "grader")
