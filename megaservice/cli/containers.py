"""Services that containers run already: `docker compose up -d`, then `up` for the rest (docs/containers.md)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable

from megaservice.cli.processes import listening_process
from megaservice.cli.services import Service

#: What holds a container's port on the host; for another user its process may not be told at all.
_FORWARDERS = ("docker", "rootlesskit", "conmon", "pasta", "slirp4netns", "gvproxy", "limactl", "colima", "orbstack")
_ANSWER_SECONDS = 2.0


def run_by_containers(services: Iterable[Service]) -> list[Service]:
    """Return those whose port a container holds, with the very service behind it; the gateway is never one.

    The gateway is what `up` is for, so that its port being taken is an error.
    """
    return [service for service in services if service.name != "gateway" and _is_in_container(service)]


def _is_in_container(service: Service) -> bool:
    title = _title(service)
    return title is not None and service.name in title.casefold() and _is_forwarded(service.port)


def _title(service: Service) -> str | None:
    """Return what the service behind the port calls itself; None if nobody, or nobody of ours, answers."""
    connection = http.client.HTTPConnection(service.address, service.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/v1/health_check")
        found = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    title = found.get("Service Title") if isinstance(found, dict) else None
    return title if isinstance(title, str) else None


def _is_forwarded(port: int) -> bool:
    process = listening_process(port)
    return process is None or any(word in process.name().casefold() for word in _FORWARDERS)
