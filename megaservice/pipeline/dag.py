"""The validated graph of a pipeline: who waits for whom, in an order that never depends on hashing."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class CycleError(ValueError):
    """The edges form a cycle.

    Attributes:
        path: The nodes of the cycle, the first one repeated at the end.
    """

    def __init__(self, path: list[str]) -> None:
        self.path = path
        super().__init__(" >> ".join(path))


class Dag:
    """A directed acyclic graph of node names; immutable.

    Args:
        nodes: Every node, in the order of the file.
        edges: (upstream, downstream) pairs of known nodes; repeats count once.

    Raises:
        CycleError: The edges form a cycle.
    """

    def __init__(self, nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> None:
        self.nodes: tuple[str, ...] = tuple(dict.fromkeys(nodes))
        self.edges: tuple[tuple[str, str], ...] = tuple(dict.fromkeys(edges))
        self._upstreams: dict[str, list[str]] = {node: [] for node in self.nodes}
        self._downstreams: dict[str, list[str]] = {node: [] for node in self.nodes}
        for source, target in self.edges:
            self._upstreams[target].append(source)
            self._downstreams[source].append(target)
        self.order: tuple[str, ...] = self._topological_order()
        self._ancestors: dict[str, frozenset[str]] = {}
        for node in self.order:
            above = self._upstreams[node]
            self._ancestors[node] = frozenset(above).union(*(self._ancestors[name] for name in above))

    def upstreams(self, node: str) -> tuple[str, ...]:
        """Return the nodes whose edges end at `node`, in the order of the edges."""
        return tuple(self._upstreams[node])

    def downstreams(self, node: str) -> tuple[str, ...]:
        """Return the nodes at which the edges of `node` end, in the order of the edges."""
        return tuple(self._downstreams[node])

    def ancestors(self, node: str) -> frozenset[str]:
        """Return every node from which a path leads to `node`."""
        return self._ancestors[node]

    def within(self, group: Collection[str]) -> Dag:
        """Return the part of the graph that lies in a group of its nodes."""
        inner = [edge for edge in self.edges if edge[0] in group and edge[1] in group]
        return Dag([node for node in self.order if node in group], inner)

    def detour(self, group: Collection[str]) -> tuple[str, ...]:
        """Return the nodes outside a group that lie between nodes of it, in order.

        Where there are some, the group cannot run as one: they would wait for it, and it for them.
        """
        behind = [node for node in self.order if node not in group and not self._ancestors[node].isdisjoint(group)]
        return tuple(node for node in behind if any(node in self._ancestors[member] for member in group))

    @property
    def roots(self) -> tuple[str, ...]:
        """The nodes without upstreams."""
        return tuple(node for node in self.nodes if not self._upstreams[node])

    @property
    def leaves(self) -> tuple[str, ...]:
        """The nodes without downstreams."""
        return tuple(node for node in self.nodes if not self._downstreams[node])

    def _topological_order(self) -> tuple[str, ...]:
        waiting = {node: len(above) for node, above in self._upstreams.items()}
        ready = [node for node in self.nodes if not waiting[node]]
        order: list[str] = []
        while len(order) < len(ready):
            node = ready[len(order)]
            order.append(node)
            for target in self._downstreams[node]:
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        if len(order) < len(self.nodes):
            raise CycleError(self._find_cycle({node for node in self.nodes if waiting[node]}))
        return tuple(order)

    def _find_cycle(self, blocked: set[str]) -> list[str]:
        """Walk upstream among the blocked nodes until one comes twice; each of them has a blocked upstream."""
        node = next(name for name in self.nodes if name in blocked)
        path: list[str] = []
        while node not in path:
            path.append(node)
            node = next(name for name in self._upstreams[node] if name in blocked)
        cycle = [*path[path.index(node) :], node]
        return cycle[::-1]
