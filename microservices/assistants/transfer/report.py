"""What an import did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from microservices.assistants.transfer.kinds import Kind

_SHOWN_REFUSALS = 20


class Refusal(NamedTuple):
    """A line that was not imported, and why; lines count from 1."""

    line: int
    reason: str


@dataclass(slots=True)
class Report:
    """Counts what became of the lines, by kind."""

    added: Counter[Kind] = field(default_factory=Counter)
    replaced: Counter[Kind] = field(default_factory=Counter)
    skipped: Counter[Kind] = field(default_factory=Counter)
    refused: int = 0
    #: The first of them.
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Note a line that cannot be imported."""
        self.refused += 1
        if len(self.refusals) < _SHOWN_REFUSALS:
            self.refusals.append(Refusal(line, reason))

    def add(self, other: Report) -> None:
        """Take over what another report says."""
        self.added += other.added
        self.replaced += other.replaced
        self.skipped += other.skipped
        for line, reason in other.refusals:
            self.refuse(line, reason)

    def sentences(self) -> Iterator[str]:
        """Yield what there is to tell, refused lines first."""
        for line, reason in sorted(self.refusals):
            yield f"line {line}: {reason}"
        if self.refused > len(self.refusals):
            yield f"... and {self.refused - len(self.refusals)} more lines."
        yield f"Imported: {described(self.added)}."
        if self.replaced:
            yield f"Replaced: {described(self.replaced)}."
        if self.skipped:
            yield f"There already, left as they are: {described(self.skipped)}."


def described(counts: Counter[Kind]) -> str:
    """Return counts as text, such as `threads 3, messages 12`."""
    return ", ".join(f"{kind.plural} {count}" for kind, count in counts.items() if count) or "nothing"
