"""Listening sockets, and why one cannot be had, in a sentence. Imports nothing heavy."""

from __future__ import annotations

import errno
import socket
import sys

from servicekit.errors import ConfigurationError

#: Connections that may wait to be accepted.
BACKLOG = 4096
#: Whether sockets that share a port get a part of its connections each.
SPREADS = sys.platform == "linux"


def listen_on(host: str, port: int) -> socket.socket:
    """Return a socket that listens; child processes do not inherit it.

    Raises:
        ConfigurationError: The port is taken, or the address is not one of this machine.
    """
    return _listen(host, port, shares_port=False)


def listen_together(host: str, port: int, count: int) -> list[socket.socket]:
    """Return sockets that listen on one port, one for each of several processes.

    Linux gives each connection to one of them, about evenly. Elsewhere that is not so, and all get the same socket.

    Raises:
        ConfigurationError: As in `listen_on`.
    """
    probe = listen_on(host, port)  # fails where somebody else listens, whom a shared port would not notice
    if not SPREADS:
        return [probe, *(probe.dup() for _ in range(count - 1))]
    probe.close()
    return [join_port(host, port) for _ in range(count)]


def join_port(host: str, port: int) -> socket.socket:
    """Return one more socket that listens on a port which others share; only where `SPREADS`.

    Raises:
        ConfigurationError: Somebody has the port who does not share it.
    """
    return _listen(host, port, shares_port=True)


def _listen(host: str, port: int, *, shares_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(_why_not_bound(host, port, exc)) from exc
    listener.set_inheritable(False)
    return listener


def _why_not_bound(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is already in use. Stop what listens there, or set another port."
    if exc.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Set a port above 1023."
    return f"Cannot listen on {host}:{port} ({exc.strerror}). Set an address of this machine."
