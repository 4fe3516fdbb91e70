"""The graph of a pipeline: order, neighbours, ancestors, cycles."""

from __future__ import annotations

from itertools import pairwise

import pytest

from megaservice.pipeline.dag import CycleError, Dag

DIAMOND = Dag(["a", "b", "c", "d"], [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])


def test_dag_orders_nodes_after_their_upstreams() -> None:
    """Ties are broken by the order of the file, never by hashing."""
    assert DIAMOND.order == ("a", "b", "c", "d")
    assert Dag(["d", "c", "b", "a"], DIAMOND.edges).order == ("a", "b", "c", "d")
    assert Dag(["x", "z", "y"], []).order == ("x", "z", "y")


def test_dag_knows_neighbours_in_the_order_of_the_edges() -> None:
    """Upstreams and downstreams are ordered, and repeated edges count once."""
    dag = Dag(["a", "b", "c"], [("b", "c"), ("a", "c"), ("b", "c")])
    assert dag.upstreams("c") == ("b", "a")
    assert dag.downstreams("b") == ("c",)
    assert dag.edges == (("b", "c"), ("a", "c"))


def test_dag_knows_roots_leaves_and_ancestors() -> None:
    """A node without edges is both root and leaf."""
    dag = Dag(["a", "b", "c", "alone"], [("a", "b"), ("b", "c")])
    assert dag.roots == ("a", "alone")
    assert dag.leaves == ("c", "alone")
    assert dag.ancestors("c") == {"a", "b"}
    assert dag.ancestors("a") == frozenset()
    assert DIAMOND.ancestors("d") == {"a", "b", "c"}


_CYCLES = [
    ([("a", "a")], ["a", "a"]),
    ([("a", "b"), ("b", "a")], ["a", "b", "a"]),
    ([("a", "b"), ("b", "c"), ("c", "a")], ["a", "b", "c", "a"]),
    ([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")], ["b", "c", "b"]),
]


@pytest.mark.parametrize(("edges", "cycle"), _CYCLES, ids=[">>".join(cycle) for _, cycle in _CYCLES])
def test_dag_names_the_path_of_a_cycle(edges: list[tuple[str, str]], cycle: list[str]) -> None:
    """The path follows the edges and ends where it starts; nodes outside the cycle are not in it."""
    with pytest.raises(CycleError) as caught:
        Dag(["a", "b", "c", "d"], edges)
    path = caught.value.path
    assert path[0] == path[-1]
    assert sorted(path[:-1]) == sorted(cycle[:-1])
    assert set(pairwise(path)) <= set(edges)


def test_dag_of_a_long_chain_needs_no_recursion() -> None:
    """Two thousand nodes in a row are ordered like two."""
    names = [f"n{number}" for number in range(2_000)]
    dag = Dag(reversed(names), list(pairwise(names)))
    assert list(dag.order) == names
    assert len(dag.ancestors(names[-1])) == 1_999
