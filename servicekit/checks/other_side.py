"""Why an address may lead nowhere where containers are: the same service has two addresses.

Within a compose network it is `<service name>:<container port>`; from the machine around it, `localhost:<published
port>`. With `ports: ["8008:11434"]` an Ollama is `http://ollama:11434` for containers and `http://localhost:8008` for
everybody else.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: Ports inside containers, as OPEA's compose files have them: what listens there, and where it is often published.
_CONTAINER_PORTS = {
    80: ("vLLM and TGI", (8008, 9009, 8005, 8028, 8080)),
    9000: ("OPEA's LLM microservice", (9009, 9002)),
    11434: ("Ollama", (8008, 9000)),
}
_CONNECT_SECONDS = 0.5
_RESOLVE_SECONDS = 2.0


def runs_in_container(variables: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Whether this process runs in a container of Docker, Podman or Kubernetes.

    Args:
        variables: Of the process; Podman sets `container`, Kubernetes `KUBERNETES_SERVICE_HOST`.
        root: Where Docker and Podman leave a file.
    """
    marks = (root / ".dockerenv", root / "run" / ".containerenv")
    return any(name in variables for name in ("container", "KUBERNETES_SERVICE_HOST")) or any(
        mark.exists() for mark in marks
    )


def is_foreign_name(host: str) -> bool:
    """Whether a host looks like a service name of a compose file that nobody here knows."""
    is_name = bool(host) and "." not in host and ":" not in host and host not in LOOPBACK
    return is_name and not _resolves(host)


def loopback_advice(port: int | None) -> str:
    """Return what to write in a container instead of localhost."""
    shown = f":{port}" if port else ""
    return (
        "This process runs in a container, where localhost is the container itself. A program on the machine around it "
        f"is http://host.docker.internal{shown} (Docker on Linux: extra_hosts: host.docker.internal:host-gateway); "
        "another service of the compose file is http://<its service name>:<its port inside the container>."
    )


def compose_name_advice(host: str) -> str:
    """Return what to write on the machine instead of a name of the compose network."""
    return (
        f"The name '{host}' is not known on this machine; only containers of a compose network know its service "
        f"names. Write localhost and the published port: with `8008:11434` under the ports of '{host}' that is 8008."
    )


async def advice_for(url: str, *, in_container: bool) -> str:
    """Return which address is probably meant where nobody answers; empty if there is no guess.

    It looks whether somebody listens on the ports under which the same service is often found, on the same host.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if in_container and host in LOOPBACK:
        return loopback_advice(port)
    if not in_container and await asyncio.to_thread(is_foreign_name, host):
        return compose_name_advice(host)
    twins = _twins(port)
    answers = await asyncio.gather(*(asyncio.to_thread(is_listening, host, twin) for twin in twins))
    listening = [twin for twin, is_there in zip(twins, answers, strict=True) if is_there]
    return _port_advice(port, host, listening, in_container=in_container)


def _port_advice(port: int, host: str, listening: list[int], *, in_container: bool) -> str:
    who = _CONTAINER_PORTS[port][0] if port in _CONTAINER_PORTS else ""
    if in_container and not who and listening:
        inside = f"Within a compose network a service's port inside its container counts, not the published {port}"
        return f"{inside}: something listens on {host}:{listening[0]}. Is that meant?"
    if in_container or not (who or listening):
        return ""
    seen = f"Something listens on {host}:{listening[0]}: is that meant?" if listening else ""
    if not who:
        return seen
    inside = f"{port} is the port of {who} inside the container; from outside the published one counts"
    return f"{inside} (`docker compose ps` shows it). {seen}".rstrip()


def _twins(port: int) -> list[int]:
    """Return the ports under which the same service may be found from the other side of its container."""
    outside = _CONTAINER_PORTS.get(port, ("", ()))[1]
    inside = [inner for inner, (_, published) in _CONTAINER_PORTS.items() if port in published]
    return [twin for twin in dict.fromkeys((*outside, *inside)) if twin != port]


def is_listening(host: str, port: int) -> bool:
    """Whether somebody takes connections there; asks for a moment only."""
    with suppress(OSError), socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
        return True
    return False


def _resolves(host: str) -> bool:
    """Ask the resolver, in a thread that nobody waits for longer than a moment."""
    found: list[object] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(socket.getaddrinfo(host, None))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_RESOLVE_SECONDS)
    return bool(found)
