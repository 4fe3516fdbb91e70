"""The examples of docs/assistants.md, against the models that ship."""

from __future__ import annotations

import re

import orjson

from servicekit.environment import PROJECT_ROOT

_DOCUMENT = PROJECT_ROOT / "docs" / "assistants.md"
_PIPELINES = PROJECT_ROOT / "compose" / "pipelines"


def test_examples_with_instructions_name_a_pipeline() -> None:
    """The bundled model itself answers instructions, unless they are to translate, with its outside sentence."""
    files = [path.read_text(encoding="utf-8") for path in _PIPELINES.glob("*.yaml")]
    pipelines = {match[1] for text in files if (match := re.search(r"(?m)^opea_mega_service:\n  name: (\S+)", text))}
    bodies = [orjson.loads(body) for body in re.findall(r"-d '(\{.*?\})'", _DOCUMENT.read_text(encoding="utf-8"))]
    models = [body["model"] for body in bodies if "instructions" in body]
    assert models
    assert set(models) <= pipelines
