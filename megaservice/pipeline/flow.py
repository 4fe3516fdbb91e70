"""The grammar of `mega_flow`: `a >> b`, `(a, b) >> c >> (d, e)`.

rule  = group { ">>" group }
group = name | "(" name { "," name } ")"
name  = letters, digits, "_", "-", ".", "/"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


class FlowSyntaxError(ValueError):
    """A rule does not follow the grammar; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class FlowRule:
    """One parsed rule: groups of node names, each group flowing into the next."""

    groups: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> list[str]:
        """Every name of the rule, in order, without repeats."""
        return list(dict.fromkeys(name for group in self.groups for name in group))

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Every edge: each node of a group to each node of the next group."""
        return [
            (source, target) for sources, targets in pairwise(self.groups) for source in sources for target in targets
        ]


def parse_flow_rule(rule: str) -> FlowRule:
    """Parse one rule of `mega_flow`.

    Raises:
        FlowSyntaxError: The rule does not follow the grammar.
    """
    return FlowRule(tuple(_parse_group(part.strip(), rule) for part in rule.split(">>")))


def _parse_group(text: str, rule: str) -> tuple[str, ...]:
    if text.startswith("(") != text.endswith(")"):
        raise FlowSyntaxError(f"'{rule}': a parenthesis is not closed or not opened around '{text}'.")
    inner = text[1:-1] if text.startswith("(") else text
    names = tuple(name.strip() for name in inner.split(","))
    if len(names) > 1 and inner is text:
        raise FlowSyntaxError(f"'{rule}': several nodes need parentheses: write '({text})'.")
    for name in names:
        if not _NAME.fullmatch(name):
            found = f"found '{name}'" if name else "found nothing"
            raise FlowSyntaxError(f"'{rule}': a node's name was expected, {found}. Write 'a >> b' or '(a, b) >> c'.")
    return names
