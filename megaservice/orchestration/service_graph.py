"""comps' graph with edges in the order of `flow_to`, and the copies of it that one run needs.

Stock keeps edges in a set, so their order depends on the hash seed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, MutableSet

from comps.cores.mega.dag import DAG as RuntimeGraph

from megaservice.pipeline.dag import CycleError, Dag


class Edges(MutableSet[str]):
    """The downstream nodes of one node: a set that keeps its order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Add a name at the end."""
        self._names[name] = None

    def discard(self, name: str) -> None:
        """Remove a name if it is there."""
        self._names.pop(name, None)


#: What comps' graph keeps in its `graph`.
Links = Mapping[str, Collection[str]]


def runtime_graph(links: Links, leave_out: Collection[str] = ()) -> RuntimeGraph:
    """Return a graph of its own with the same nodes and edges.

    Args:
        links: The downstream nodes of each node.
        leave_out: Nodes that the copy does not have.
    """
    graph = RuntimeGraph()
    for name, below in links.items():
        if name not in leave_out:
            graph.graph[name] = Edges(target for target in below if target not in leave_out)
    return graph


def result_graph(live: RuntimeGraph, roots: Collection[str], leave_out: Collection[str]) -> RuntimeGraph:
    """Return what `schedule` gives back: the roots and all that can still be reached from them, as in stock.

    Args:
        live: The graph of the run, from which pruned edges are gone.
        roots: Of the whole graph.
        leave_out: Nodes whose outputs travel in a stream and not in the result.
    """
    kept = [name for name in roots if name in live.graph]
    for name in kept:
        kept.extend(below for below in live.graph[name] if below not in kept)
    return runtime_graph(live.graph, {name for name in live.graph if name not in kept} | set(leave_out))


def edge_problem(links: Links, source: str, target: str) -> str | None:
    """Return why there can be no edge between two services, None if there can."""
    missing = [name for name in (source, target) if name not in links]
    if missing:
        known = ", ".join(links) or "none"
        return f"{missing[0]} was not added. The services there are: {known}."
    edges = [(name, below) for name, names in links.items() for below in names]
    try:
        Dag(links, [*edges, (source, target)])
    except CycleError as exc:
        return f"the flow would have a cycle: {' >> '.join(exc.path)}."
    return None
