"""Plain data as YAML that a person would have written: keys in their order, long texts as blocks."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 120
#: A list of plain values that is shorter stands in one line.
_SHORT_CHARS = 80


class _Dumper(yaml.SafeDumper):
    """SafeDumper without aliases, and with blocks for texts of several lines."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 - YAML's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    is_short = all(isinstance(item, str | int | float) for item in items) and len(str(items)) < _SHORT_CHARS
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def yaml_text(data: dict[str, Any]) -> str:
    """Return a document's text."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
