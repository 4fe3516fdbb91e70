"""What the nodes have in common whose output is one object with a `text`."""

from __future__ import annotations

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.inputs import DeclaredInputs
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError


class TextOutputNode:
    """A node that answers `{"text", ...}` once and does not stream.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
    """

    def __init__(self, name: str, spec: NodeSpec) -> None:
        self.spec = spec
        self._inputs = DeclaredInputs(spec.inputs, name)
        self._outputs = OutputMapping(spec.outputs, name)

    def open_stream(self, _call: NodeCall) -> None:
        """Return None: the output is one object."""
        return

    def text_of(self, output: Output) -> str | None:
        """Return the output's text."""
        text: str | None = output.get("text")
        return text

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body: what is attached in place of an output."""
        return error.body()
