"""Whether a service can have the ports that it wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from servicekit.checks.findings import Finding, Verdict
from servicekit.errors import ConfigurationError
from servicekit.listener import listen_on


def check_ports(host: str, ports: Sequence[int]) -> Iterator[Finding]:
    """Listen on each port for a moment."""
    for port in ports:
        try:
            listen_on(host, port).close()
        except ConfigurationError as exc:
            yield from (Finding(Verdict.PROBLEM, "ports", problem) for problem in exc.problems)
