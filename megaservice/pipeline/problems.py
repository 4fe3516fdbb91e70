"""What is wrong with a pipeline file: where, what was found, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from servicekit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class PipelineError(ConfigurationError):
    """A pipeline file cannot be used; carries all its problems, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.located = tuple(sorted(set(problems)))
        super().__init__(*(str(problem) for problem in self.located))
