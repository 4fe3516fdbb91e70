"""A graph taken apart into what runs one after the other and what runs at the same time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from megaservice.pipeline.dag import Dag


@dataclass(frozen=True, slots=True)
class Series:
    """Parts that follow each other: every node without downstreams of one leads to every root of the next."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parts that have nothing to do with each other."""

    parts: tuple[Part, ...]


#: A node's name, or a composition.
Part = str | Series | Parallel


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out.

    Attributes:
        part: The whole graph.
        added: Waits that the graph does not have; a graph that is not made of series and parallels alone needs some.
    """

    part: Part
    added: tuple[tuple[str, str], ...]


def take_apart(dag: Dag) -> Taken:
    """Return a graph as series and parallels."""
    added: list[tuple[str, str]] = []
    return Taken(_part(dag, added), tuple(added))


def members(part: Part) -> tuple[str, ...]:
    """Return the nodes of a part, in order."""
    return (part,) if isinstance(part, str) else tuple(name for inner in part.parts for name in members(inner))


def _part(dag: Dag, added: list[tuple[str, str]]) -> Part:
    if len(dag.nodes) == 1:
        return dag.nodes[0]
    components = _components(dag)
    if len(components) > 1:
        return Parallel(tuple(_part(dag.within(group), added) for group in components))
    groups = _cuts(dag) or _levels(dag, added)
    return Series(tuple(_part(dag.within(group), added) for group in groups))


def _components(dag: Dag) -> list[Collection[str]]:
    groups: list[set[str]] = []
    for name in dag.nodes:
        touching = [group for group in groups if group & {*dag.upstreams(name), *dag.downstreams(name)}]
        merged = {name}.union(*touching)
        groups = [group for group in groups if group not in touching] + [merged]
    return sorted(groups, key=lambda group: min(dag.nodes.index(name) for name in group))


def _cuts(dag: Dag) -> list[Collection[str]]:
    """Return the parts of a series; none if the graph is no series."""
    # In a series every node of one part is before every node of the next, in whatever topological order.
    places = [place for place in range(1, len(dag.order)) if _is_cut(dag, set(dag.order[:place]))]
    if not places:
        return []
    bounds = [0, *places, len(dag.order)]
    return [set(dag.order[start:end]) for start, end in pairwise(bounds)]


def _is_cut(dag: Dag, first: set[str]) -> bool:
    crossing = {edge for edge in dag.edges if edge[0] in first and edge[1] not in first}
    ends = set(dag.within(first).leaves)
    starts = set(dag.within(set(dag.nodes) - first).roots)
    return crossing == {(end, start) for end in ends for start in starts}


def _levels(dag: Dag, added: list[tuple[str, str]]) -> list[Collection[str]]:
    """Return the nodes by the longest way that leads to them: each waits for all of the level before."""
    depth: dict[str, int] = {}
    for name in dag.order:
        depth[name] = 1 + max((depth[above] for above in dag.upstreams(name)), default=-1)
    levels: list[Collection[str]] = [
        {name for name in dag.order if depth[name] == level} for level in range(max(depth.values()) + 1)
    ]
    for before, behind in pairwise(levels):
        waits = (
            (source, target) for source in dag.order if source in before for target in dag.order if target in behind
        )
        added.extend(wait for wait in waits if wait[0] not in dag.ancestors(wait[1]))
    return levels
