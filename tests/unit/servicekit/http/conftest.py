"""What holds for the HTTP client holds for each of its transports."""

from __future__ import annotations

import pytest

from servicekit.http.client import Transport


@pytest.fixture(params=["auto", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Give each transport in turn; on loopback `auto` is the one of our own."""
    chosen: Transport = request.param
    return chosen
