"""Plain HTTP over connections of our own: what `HttpClient` calls."""

from __future__ import annotations

from collections.abc import Mapping

from servicekit.http.call import Target, Timeouts
from servicekit.http.direct.address import direct_address
from servicekit.http.direct.exchange import Exchange, Route
from servicekit.http.direct.pool import Origin

#: URLs whose parts are remembered; services have a handful, paths with ids in them may be many.
_MOST_ROUTES = 1024


class DirectTransport:
    """The connections to every plain-HTTP origin.

    Args:
        keep_alive_seconds: How long an idle connection is kept.
        limit_bytes: Bodies read whole may not be larger.
    """

    def __init__(self, keep_alive_seconds: float, limit_bytes: int) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._limit_bytes = limit_bytes
        self._routes: dict[str, Route | None] = {}
        self._origins: dict[tuple[str, int], Origin] = {}

    def route_to(self, url: str) -> Route | None:
        """Return where requests for a URL go; None if they are aiohttp's."""
        try:
            return self._routes[url]
        except KeyError:
            return self._new_route(url)

    def open(
        self,
        route: Route,
        method: str,
        target: Target,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
    ) -> Exchange:
        """Return a call as a block; see `HttpClient.open`."""
        return Exchange(route, method, target, body, headers, timeouts, self._limit_bytes)

    def close(self) -> None:
        """Close every connection, those in use included."""
        for origin in self._origins.values():
            origin.close()
        self._origins.clear()
        self._routes.clear()

    def _new_route(self, url: str) -> Route | None:
        if len(self._routes) >= _MOST_ROUTES:
            self._forget_unused()
        address = direct_address(url)
        route = None
        if address is not None:
            key = (address.host, address.port)
            origin = self._origins.get(key)
            if origin is None:
                origin = self._origins[key] = Origin(*key, self._keep_alive_seconds)
            route = Route(address, origin)
        self._routes[url] = route
        return route

    def _forget_unused(self) -> None:
        """Start over with the routes; origins without a connection go, too."""
        self._routes.clear()
        self._origins = {key: origin for key, origin in self._origins.items() if not origin.is_unused}
