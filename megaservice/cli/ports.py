"""Says before anything starts which ports cannot be had, and what to do about it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from megaservice.cli.processes import listener_on
from megaservice.cli.services import Service


def port_problems(services: Sequence[Service]) -> list[str]:
    """Return one sentence for each port that is taken, wanted twice, or cannot be bound."""
    problems: list[str] = []
    wanted: dict[int, str] = {}
    for service in services:
        for variable, port in service.ports:
            if port in wanted:
                problems.append(f"Port {port} is wanted twice: set {wanted[port]} or {variable} to another one.")
                continue
            wanted[port] = variable
            error = _bind_error(service.host, port)
            if error is not None:
                problems.append(_sentence(service, variable, port, error))
    return problems


def _bind_error(host: str, port: int) -> OSError | None:
    """Try what the service will do: the same address, the same options."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as exc:
        return exc
    return None


def _sentence(service: Service, variable: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = listener_on(port)
        by = f"by {owner}" if owner else "by another process"
        return f"Port {port}, which {service.name} needs, is taken {by}: stop that, or set {variable} to a free port."
    if error.errno == errno.EACCES:
        return f"Port {port}, which {service.name} needs, is reserved for root: set {variable} to one above 1023."
    reason = error.strerror or os.strerror(error.errno or 0)
    return f"{service.name} cannot listen on {service.host}:{port}: {reason}."
