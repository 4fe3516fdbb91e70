"""Where the nodes of a picture go: layers from top to bottom, with few crossings and short edges.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers, places for edges that pass a layer, the order within
layers, and then coordinates; the last as least squares with minimal distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 24

#: An edge from one layer to the next.
Link = tuple[str, str]


@dataclass(slots=True)
class Layout:
    """The result.

    Attributes:
        layers: Names from left to right, layer by layer; names of places that edges pass begin with a NUL.
        centres: The horizontal middle of each.
        links: Edges, cut at each layer that they pass.
        ends: The edge that each link belongs to.
        width: Of the whole.
    """

    layers: list[list[str]]
    centres: dict[str, float] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    ends: dict[Link, Link] = field(default_factory=dict)
    width: float = 0.0


def is_passing(name: str) -> bool:
    """Return whether a name stands for a place that an edge passes."""
    return name.startswith("\0")


def lay_out(edges: Sequence[Link], widths: Mapping[str, float], gap: float) -> Layout:
    """Place nodes.

    Args:
        edges: Without cycles.
        widths: Of every node, in the order in which they should stand side by side.
        gap: Between two neighbours.
    """
    layout = _cut(edges, _depths(edges, list(widths)))
    _order(layout)
    sizes = {name: widths.get(name, 1.0) for layer in layout.layers for name in layer}
    _place(layout, sizes, gap)
    return layout


def _depths(edges: Sequence[Link], names: Sequence[str]) -> dict[str, int]:
    depths = dict.fromkeys(names, 0)
    for _ in names:
        changed = False
        for source, target in edges:
            if depths[target] <= depths[source]:
                depths[target], changed = depths[source] + 1, True
        if not changed:
            break
    return depths


def _cut(edges: Sequence[Link], depths: Mapping[str, int]) -> Layout:
    layout = Layout([[] for _ in range(max(depths.values()) + 1)])
    for name, depth in depths.items():
        layout.layers[depth].append(name)
    for number, (source, target) in enumerate(edges):
        chain = [source]
        for depth in range(depths[source] + 1, depths[target]):
            chain.append(f"\0{number}:{depth}")
            layout.layers[depth].append(chain[-1])
        chain.append(target)
        for link in pairwise(chain):
            layout.links.append(link)
            layout.ends[link] = (source, target)
    return layout


def _order(layout: Layout) -> None:
    above, below = _neighbours(layout)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        around = above if downwards else below
        layers = layout.layers if downwards else layout.layers[::-1]
        for before, layer in pairwise(layers):
            places = {name: place for place, name in enumerate(before)}
            now = {name: place for place, name in enumerate(layer)}
            layer.sort(key=lambda name: (_mean([places[n] for n in around[name]], now[name]), now[name]))


def _neighbours(layout: Layout) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    names = [name for layer in layout.layers for name in layer]
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for source, target in layout.links:
        above[target].append(source)
        below[source].append(target)
    return above, below


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(layout: Layout, sizes: Mapping[str, float], gap: float) -> None:
    above, below = _neighbours(layout)
    centres = layout.centres
    for layer in layout.layers:
        centres.update(_spread(layer, dict.fromkeys(layer, 0.0), sizes, gap))
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        around = above if downwards else below
        for layer in layout.layers if downwards else layout.layers[::-1]:
            wanted = {name: _mean([centres[n] for n in around[name]], centres[name]) for name in layer}
            centres.update(_spread(layer, wanted, sizes, gap))
    left = min(centres[name] - sizes[name] / 2 for name in centres)
    for name in centres:
        centres[name] -= left
    layout.width = max(centres[name] + sizes[name] / 2 for name in centres)


def _spread(
    layer: Sequence[str], wanted: Mapping[str, float], sizes: Mapping[str, float], gap: float
) -> dict[str, float]:
    """Return places as near to the wanted ones as the distances between neighbours allow.

    Least squares with ordered differences: pool adjacent violators.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (sizes[left] + sizes[right]) / 2 + gap)
    pools: list[list[float]] = []
    for name, offset in zip(layer, offsets, strict=True):
        pools.append([wanted[name] - offset])
        while len(pools) > 1 and _mean(pools[-2], 0) > _mean(pools[-1], 0):
            last = pools.pop()
            pools[-1].extend(last)
    shifts = [_mean(pool, 0) for pool in pools for _ in pool]
    return {name: shift + offset for name, shift, offset in zip(layer, shifts, offsets, strict=True)}
