"""What could be read of a pipeline file, right or not: on this every check is made that still can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from megaservice.pipeline.dialects.opea_flow import Flow
from megaservice.pipeline.spec import NodeSpec, PipelineHead


@dataclass(frozen=True, slots=True)
class Draft:
    """A pipeline that may have mistakes; whoever read the file has noted them.

    Attributes:
        head: Its name and endpoints; no endpoints if some are wrong, None if the name is.
        declared: Every node's name in the order of the file, also of those that are not in `nodes`.
        nodes: The nodes whose kind is known; keys that are wrong have their defaults.
        wrong: The keys of each node that are wrong.
        fallbacks: Which node stands in for which.
        flow: How they flow.
    """

    head: PipelineHead | None
    declared: tuple[str, ...]
    nodes: Mapping[str, NodeSpec]
    wrong: Mapping[str, frozenset[str | int]]
    fallbacks: Mapping[str, str]
    flow: Flow

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The edges between declared nodes, also those that some runs do not have."""
        return self.flow.edges

    @property
    def flow_is_whole(self) -> bool:
        """Whether `edges` are all there are: no rule was unreadable, no node in it unknown."""
        return self.flow.is_whole

    @property
    def kinds_are_known(self) -> bool:
        """Whether every declared node is in `nodes`."""
        return len(self.nodes) == len(self.declared)

    @property
    def flowing(self) -> list[str]:
        """The nodes that run by themselves: all but those that only stand in for another."""
        connected = {name for edge in self.edges for name in edge}
        stand_ins = set(self.fallbacks.values()) - connected
        return [name for name in self.declared if name not in stand_ins]

    def fallback_chain(self, name: str) -> list[str]:
        """Return the node, the one that stands in for it, the one that stands in for that, and so on."""
        chain: list[str] = []
        while name in self.declared and name not in chain:
            chain.append(name)
            name = self.fallbacks.get(name, "")
        return chain
