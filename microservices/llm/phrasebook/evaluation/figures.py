"""Shares with their intervals."""

import math
from dataclasses import dataclass

#: The normal quantile of a two-sided interval of 95 %.
_Z = 1.959964


@dataclass(frozen=True)
class Figure:
    """How many of how many."""

    name: str
    hits: int
    total: int
    #: The share that was aimed for, if one was.
    target: float | None = None

    @property
    def share(self) -> float:
        """Hits by total; 0 for nothing."""
        return self.hits / self.total if self.total else 0.0

    def __str__(self) -> str:
        low, high = wilson(self.hits, self.total)
        line = f"{self.name:<58} {self.share:7.2%}  [{low:.2%}, {high:.2%}]  {self.hits} of {self.total}"
        return line if self.target is None else f"{line}  ({_verdict(self.share, self.target)})"


def _verdict(share: float, target: float) -> str:
    return f"{'reaches' if share >= target else 'misses'} {target:.0%}"


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The Wilson score interval of 95 % for a share (E. B. Wilson, 1927)."""
    if total == 0:
        return 0.0, 1.0
    share = hits / total
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    middle, scale = share + _Z**2 / (2 * total), 1 + _Z**2 / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def balanced(first: Figure, second: Figure, name: str, target: float) -> str:
    """The mean of two shares, with the normal interval of a mean of independent shares."""
    mean = (first.share + second.share) / 2
    variance = sum(figure.share * (1 - figure.share) / max(1, figure.total) for figure in (first, second)) / 4
    spread = _Z * math.sqrt(variance)
    low, high = max(0.0, mean - spread), min(1.0, mean + spread)
    count = first.total + second.total
    return f"{name:<58} {mean:7.2%}  [{low:.2%}, {high:.2%}]  n = {count}  ({_verdict(mean, target)})"
