"""With API_KEYS set, every request needs one of them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.errors import AuthenticationError

#: Probes of supervisors and load balancers carry no key, and these routes tell nothing worth one.
OPEN_PATHS = frozenset({"/health", "/healthz", "/ready", "/v1/health_check"})


class ApiKeyMiddleware:
    """Refuses requests without a known key, as `Authorization: Bearer KEY` or `api-key: KEY`."""

    def __init__(self, app: ASGIApp, keys: Sequence[SecretStr]) -> None:
        self._app = app
        self._keys = [key.get_secret_value().encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server.

        Raises:
            AuthenticationError: No key, or an unknown one.
        """
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            self._check(Headers(scope=scope))
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        sent = sent_key(headers)
        if not sent:
            raise AuthenticationError("No API key was sent. Send one as 'Authorization: Bearer <key>'.")
        # Every key is compared, in constant time, so that the duration tells nothing.
        if not any([hmac.compare_digest(sent.encode(), key) for key in self._keys]):  # noqa: C419
            raise AuthenticationError("The API key is not known here. Send one of the service's API_KEYS.")


def sent_key(headers: Headers) -> str:
    """Return the key that a request carries, known or not; "" if it carries none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
