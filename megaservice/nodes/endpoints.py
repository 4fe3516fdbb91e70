"""Which of a service's URLs is asked next: the one with the fewest calls in work that does not rest."""

from __future__ import annotations

import time
from collections.abc import Sequence

from megaservice.nodes.base import NodeClient

#: How long an endpoint rests after its first failure; each further one doubles it.
_REST_SECONDS = 1.0
_MAX_REST_SECONDS = 30.0


class Endpoint:
    """One URL of a service.

    Args:
        client: Speaks to it.
    """

    def __init__(self, client: NodeClient) -> None:
        self.client = client
        self.outstanding = 0
        self.rests_until = 0.0
        self._failures = 0

    def begin(self) -> None:
        """Count a call, until `end`."""
        self.outstanding += 1

    def end(self) -> None:
        """Count a call no more."""
        self.outstanding -= 1

    def succeeded(self) -> None:
        """Note that it answers."""
        self._failures = 0
        self.rests_until = 0.0

    def failed(self) -> None:
        """Let it rest, longer with each failure in a row."""
        seconds = min(_REST_SECONDS * 2**self._failures, _MAX_REST_SECONDS)
        self._failures += 1
        self.rests_until = time.monotonic() + seconds


class EndpointPool:
    """The endpoints of one service.

    Args:
        clients: One for each URL, at least one.
    """

    def __init__(self, clients: Sequence[NodeClient]) -> None:
        self._endpoints = [Endpoint(client) for client in clients]

    @property
    def clients(self) -> list[NodeClient]:
        """The client of each endpoint."""
        return [endpoint.client for endpoint in self._endpoints]

    def pick(self) -> Endpoint:
        """Return the endpoint to ask; if all rest, the one that is up again first."""
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        now = time.monotonic()
        awake = [endpoint for endpoint in self._endpoints if endpoint.rests_until <= now]
        if not awake:
            return min(self._endpoints, key=lambda endpoint: endpoint.rests_until)
        chosen = min(awake, key=lambda endpoint: endpoint.outstanding)
        # Among equals the one that was chosen longest ago comes first.
        self._endpoints.remove(chosen)
        self._endpoints.append(chosen)
        return chosen
