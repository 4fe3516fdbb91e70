"""What a dialect cannot say of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """One thing that a converted file does not carry.

    Attributes:
        node: The node that it belongs to; empty if it is the pipeline's own.
        field: The field of the spec, such as `prompt` or `edges`.
        reason: Why, and what to do about it.
    """

    node: str
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"node '{self.node}', " if self.node else ""
        return f"{where}{self.field}: {self.reason}"
