"""Serves an application with uvicorn: own sockets, clean exit codes, drained on SIGTERM.

Exit codes: 0 after SIGTERM or SIGINT, 2 for a configuration error (a supervisor must not restart it).
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import cast

import uvicorn
import uvloop
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from servicekit.asgi.acceptor import Acceptor
from servicekit.asgi.connection import ClientConnectionProtocol
from servicekit.errors import ConfigurationError
from servicekit.listener import listen_on

EXIT_CONFIGURATION = 2

#: Longer than our HTTP client keeps idle connections, so that it is never the server that closes them.
_KEEP_ALIVE_SECONDS = 75
#: So many new objects are looked at at once, which takes 1 to 2 ms; a stream makes some 200 that live as long
#: as it does. The objects of requests that are answered at once come and go below this number: at 500, looking at them
#: took a twelfth of the time. What survives is looked at again after so many times, or when all is quiet.
_YOUNG_OBJECTS, _YOUNG_COLLECTIONS, _OLD_COLLECTIONS = 5000, 400, 10
#: Collections of young objects after which a pause is used, and how often it is looked for one, in ticks of 0.1 s.
_PAUSE_COLLECTIONS = 20
_PAUSE_TICKS = 10


def serve_app(app: FastAPI, host: str, ports: Sequence[int], drain_seconds: float) -> int:
    """Serve until SIGTERM or SIGINT, then finish the running requests.

    The application's lifespan runs around the server, not inside it, so that a `ConfigurationError` raised there
    reaches the caller as it is.

    Args:
        app: The application.
        host: The address to bind.
        ports: Each gets a listening socket; the same application answers on all.
        drain_seconds: How long running requests may take to end.

    Returns:
        The process's exit code.

    Raises:
        ConfigurationError: A port is taken, the address is not one of this machine, or the lifespan says so.
    """
    return serve_sockets(app, [listen_on(host, port) for port in ports], drain_seconds)


def serve_sockets(
    app: FastAPI, sockets: list[socket.socket], drain_seconds: float, started: Callable[[], None] = lambda: None
) -> int:
    """Serve on sockets that listen already; see `serve_app`.

    Args:
        app: The application.
        sockets: Closed at the end.
        drain_seconds: How long running requests may take to end.
        started: Called on the event loop once requests are accepted.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, sockets, drain_seconds, started))
    return 0


class _Server(uvicorn.Server):
    """Accepts connections in our way, and says when it does."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        acceptors = [Acceptor(listener, self._make_protocol) for listener in sockets or ()]
        self.servers = cast("list[asyncio.Server]", acceptors)  # it closes them and waits, nothing else
        self._tell_started()

    async def on_tick(self, counter: int) -> bool:
        if counter % _PAUSE_TICKS == 0 and not self.server_state.tasks and gc.get_count()[1] > _PAUSE_COLLECTIONS:
            gc.collect(1)
        return await super().on_tick(counter)

    def _make_protocol(self) -> ClientConnectionProtocol:
        return ClientConnectionProtocol(self.config, self.server_state, self.lifespan.state)


def server_config(app: FastAPI, drain_seconds: float) -> uvicorn.Config:
    """Return how uvicorn serves our applications; their lifespans run around it."""
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        http=ClientConnectionProtocol,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
        server_header=False,
        proxy_headers=False,  # nothing here reads the client's address
    )


async def _serve(app: FastAPI, sockets: list[socket.socket], drain_seconds: float, started: Callable[[], None]) -> None:
    config = server_config(app, drain_seconds)
    async with app.router.lifespan_context(app):
        # uvicorn raises the signal again once it has shut down; without handlers of ours that would be the
        # process's end by signal instead of exit code 0.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        await checkpoint()  # anyio loads its backend at its first use, which would hold up a request
        _calm_garbage_collector()
        await _Server(config, started).serve(sockets=sockets)


def _calm_garbage_collector() -> None:
    """Leave what the start made out of every collection, and collect in steps that nobody notices.

    Imports make hundreds of thousands of objects that live as long as the process; looking at them again and again
    took a quarter of the time of a busy gateway. What requests leave behind in cycles is still collected.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_COLLECTIONS, _OLD_COLLECTIONS)


def run_process(start: Callable[[], int]) -> int:
    """Run a service's start function; a configuration error becomes one line each on standard error.

    Returns:
        What `start` returned, or 2 for a configuration error.
    """
    try:
        return start()
    except ConfigurationError as exc:
        for problem in exc.problems:
            sys.stderr.write(f"error: {problem}\n")
        return EXIT_CONFIGURATION
