"""One worker of the gateway: `python -m megaservice.worker NUMBER LISTENER CHANNEL`, started by worker_pool.py.

LISTENER and CHANNEL are the numbers of sockets that it inherits; with -1 it opens its listener when it can serve. On
the channel it says that it serves, and sends the listener that it opened. Where the channel closes, the process that
looks after it is gone, and it drains and ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence

from prometheus_client import Gauge

from megaservice.app import create_app
from megaservice.settings import GatewaySettings
from megaservice.worker_pool import READY
from servicekit.errors import ConfigurationError
from servicekit.listener import join_port
from servicekit.logs import configure_logging
from servicekit.server import EXIT_CONFIGURATION, run_process, serve_sockets
from servicekit.settings import load_settings


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, or until the process that started this one is gone; return the exit code."""
    number, listener, channel = (int(argument) for argument in arguments)
    inherited = socket.socket(fileno=listener) if listener >= 0 else None
    with socket.socket(fileno=channel) as telling:
        telling.setblocking(False)
        if number == 1:
            return run_process(lambda: _serve(number, inherited, telling))
        try:
            return _serve(number, inherited, telling)
        except ConfigurationError:  # the first worker says what is wrong; once is enough
            return EXIT_CONFIGURATION


def _serve(number: int, inherited: socket.socket | None, channel: socket.socket) -> int:
    settings = load_settings(GatewaySettings)
    configure_logging(f"gateway.{number}", settings.log_level)
    app = create_app(settings)
    listener = inherited or join_port(settings.host, settings.port)

    def started() -> None:
        Gauge("megaservice_workers", "Processes that serve", multiprocess_mode="livesum").set(1)
        asyncio.get_running_loop().add_reader(channel, _drain_if_alone, channel)
        if inherited is None:
            socket.send_fds(channel, [READY], [listener.fileno()])
        else:
            channel.send(READY)

    return serve_sockets(app, [listener], settings.drain_seconds, started)


def _drain_if_alone(channel: socket.socket) -> None:
    """End as on SIGTERM when the channel has closed."""
    if not channel.recv(1):
        asyncio.get_running_loop().remove_reader(channel)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
