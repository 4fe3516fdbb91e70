"""Connections that wait are accepted together, on the services' event loop and on asyncio's."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from servicekit.asgi.acceptor import Acceptor
from servicekit.asgi.connection import ClientConnectionProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
#: Turns in which a connection is accepted, opened and told to its protocol.
_FEW_TURNS = 12

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Give a function that runs a coroutine on one kind of event loop, where nothing may fail unheard."""
    unheard: list[dict[str, Any]] = []
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unheard.append(context))
        yield runner.run
    assert unheard == []


class _Listener(socket.socket):
    """A listening socket that counts what is accepted, and fails as it is told."""

    def __init__(self, family: int = socket.AF_INET, host: str = "127.0.0.1") -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.bind((host, 0))
        self.listen(1024)
        self.accepted = 0
        self.failures: list[int] = []

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, os.strerror(number))
        accepted = super().accept()
        self.accepted += 1
        return accepted

    def clients(self, count: int) -> list[socket.socket]:
        """Connect while the event loop stands still, since this blocks it."""
        return [socket.create_connection(self.getsockname()[:2]) for _ in range(count)]


class _Served:
    """An acceptor and what it accepted."""

    def __init__(self, listener: _Listener) -> None:
        self.listener = listener
        self.state = ServerState()
        config = uvicorn.Config(_answer, lifespan="off", log_config=None, http=ClientConnectionProtocol)
        config.load()
        self._config = config
        self.acceptor = Acceptor(listener, self.make_protocol)
        self.protocols = 0
        self.failures: list[Exception] = []

    def make_protocol(self) -> ClientConnectionProtocol:
        self.protocols += 1
        if self.failures:
            raise self.failures.pop(0)
        return ClientConnectionProtocol(self._config, self.state, {})

    async def until_accepted(self, count: int) -> None:
        """Return in the turn in which so many connections are accepted, before they are opened."""
        async with asyncio.timeout(5):
            while self.listener.accepted < count:  # noqa: ASYNC110 - the turns count
                await asyncio.sleep(0)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    client = repr(scope["client"]).encode()
    head = [(b"content-length", str(len(client)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": client})


@asynccontextmanager
async def _serving(listener: _Listener | None = None) -> AsyncIterator[_Served]:
    served = _Served(listener or _Listener())
    try:
        yield served
    finally:
        served.acceptor.close()
        served.listener.close()
        await served.acceptor.wait_closed()
        for connection in list(served.state.connections):
            connection.transport.abort()
        await _turns(3)


async def _turns(count: int) -> None:
    """Let the event loop turn so many times: each `sleep(0)` is a `call_soon`."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _read(client: socket.socket) -> bytes:
    client.setblocking(False)
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 10_000), 2)


async def _is_answered(client: socket.socket) -> bool:
    client.sendall(REQUEST)
    return (await _read(client)).startswith(b"HTTP/1.1 200")


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _close(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()


def test_acceptor_takes_all_that_wait_within_two_turns(run: Run) -> None:
    """200 connections that came while the loop stood still; one more turn passes until the reader is called."""

    async def scenario() -> None:
        async with _serving() as served:
            await _turns(3)
            clients = served.listener.clients(200)
            accepted = []
            for _ in range(3):
                await _turns(1)
                accepted.append(served.listener.accepted)
            assert accepted[-1] == 200
            await _turns(_FEW_TURNS)
            assert len(served.state.connections) == 200
            assert await _is_answered(clients[-1])
            _close(clients)

    run(scenario())


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connection_is_set_up_as_by_the_loop_s_own_server(run: Run, family: int, host: str) -> None:
    """It does not block, no child inherits it, small writes go out at once, and the client's address is known."""
    if family == socket.AF_INET6 and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")

    async def scenario() -> None:
        async with _serving(_Listener(family, host)) as served:
            (client,) = served.listener.clients(1)
            client.sendall(REQUEST)
            assert repr(client.getsockname()[:2]).encode() in await _read(client)
            (connection,) = served.state.connections
            number = connection.transport.get_extra_info("socket").fileno()
            assert not os.get_blocking(number)
            assert not os.get_inheritable(number)
            with socket.socket(fileno=os.dup(number)) as same:
                assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            client.close()

    run(scenario())


def test_acceptors_of_several_sockets_serve_each(run: Run) -> None:
    """Closing one leaves the other alone."""

    async def scenario() -> None:
        async with _serving() as first, _serving() as second:
            clients = first.listener.clients(1) + second.listener.clients(1)
            assert [await _is_answered(client) for client in clients] == [True, True]
            first.acceptor.close()
            clients += second.listener.clients(1)
            assert await _is_answered(clients[-1])
            _close(clients)

    run(scenario())


def test_connections_that_are_reset_do_no_harm_to_others(run: Run) -> None:
    """Reset before they are accepted, and between that and being opened."""

    async def scenario() -> None:
        async with _serving() as served:
            early, late, staying = (served.listener.clients(5) for _ in range(3))
            for client in early:
                _reset(client)
            await served.until_accepted(15)
            for client in late:
                _reset(client)
            assert all([await _is_answered(client) for client in staying])
            await asyncio.sleep(0.01)
            assert len(served.state.connections) == 5
            _close(staying)

    run(scenario())


def test_connection_that_is_aborted_while_it_is_accepted_hides_none_behind_it(run: Run) -> None:
    """ECONNABORTED is one client's."""

    async def scenario() -> None:
        async with _serving() as served:
            served.listener.failures = [errno.ECONNABORTED] * 3
            clients = served.listener.clients(2)
            await _turns(2)
            assert served.listener.accepted == 2
            _close(clients)

    run(scenario())


def test_acceptor_pauses_without_descriptors_and_goes_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """One warning, no attempts during the pause, and who waited is served after it."""

    async def scenario() -> None:
        async with _serving() as served:
            (client,) = served.listener.clients(1)
            served.listener.failures = [errno.EMFILE, errno.EMFILE]
            await asyncio.sleep(0.1)
            assert served.listener.failures == [errno.EMFILE]
            assert len(caplog.records) == 1
            assert await _is_answered(client)
            client.close()

    run(scenario())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Too many open files" in caplog.text


def test_close_stops_accepting_and_is_safe_twice(run: Run) -> None:
    """Also once uvicorn has closed the socket."""

    async def scenario() -> None:
        async with _serving() as served:
            served.acceptor.close()
            clients = served.listener.clients(3)
            await _turns(_FEW_TURNS)
            assert served.listener.accepted == 0
            served.acceptor.close()
            served.listener.close()
            served.acceptor.close()
            await served.acceptor.wait_closed()
            _close(clients)

    run(scenario())


def test_close_during_a_pause_ends_it(run: Run) -> None:
    """Nothing is accepted when the pause would be over, and its number may be another socket's by then."""

    async def scenario() -> None:
        async with _serving() as served:
            (client,) = served.listener.clients(1)
            served.listener.failures = [errno.EMFILE]
            await asyncio.sleep(0.05)
            assert served.listener.failures == []
            served.acceptor.close()
            served.listener.close()
            served.acceptor.close()
            await asyncio.sleep(0.6)
            assert served.listener.accepted == 0
            client.close()

    run(scenario())


def test_connection_that_is_opened_after_the_close_is_answered_and_ended(run: Run) -> None:
    """The server's shutdown tells only those that are open by then; one without a request is closed at once."""

    async def scenario() -> None:
        async with _serving() as served:
            asking, idle = served.listener.clients(2)
            asking.sendall(REQUEST)
            await served.until_accepted(2)
            assert not served.state.connections
            served.acceptor.close()
            served.listener.close()
            await served.acceptor.wait_closed()
            assert (await _read(asking)).startswith(b"HTTP/1.1 200")
            assert await _read(asking) == b""
            assert await _read(idle) == b""
            await _turns(3)
            assert not served.state.connections
            _close([asking, idle])

    run(scenario())


def test_wait_closed_waits_for_what_was_accepted(run: Run) -> None:
    """None of 100 is lost between its acceptance and its protocol."""

    async def scenario() -> None:
        async with _serving() as served:
            clients = served.listener.clients(100)
            for client in clients:
                client.sendall(REQUEST)
            await served.until_accepted(100)
            assert served.protocols == 0
            served.acceptor.close()
            await served.acceptor.wait_closed()
            assert served.protocols == 100
            assert all([(await _read(client)).startswith(b"HTTP/1.1 200") for client in clients])
            _close(clients)

    run(scenario())


def test_connection_whose_opening_is_cancelled_is_closed(run: Run) -> None:
    """The end of the event loop cancels every task; the client is told, and no socket is left open."""

    async def scenario() -> None:
        async with _serving() as served:
            (client,) = served.listener.clients(1)
            await served.until_accepted(1)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            assert await _read(client) == b""
            client.close()

    run(scenario())


def test_connection_that_cannot_be_opened_is_closed_and_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours with its trace, one of the network without; the next connection is served."""

    async def scenario() -> None:
        async with _serving() as served:
            served.failures = [ValueError("ours"), OSError(errno.EINVAL, "the network's")]
            clients = served.listener.clients(3)
            assert [await _read(client) for client in clients[:2]] == [b"", b""]
            assert await _is_answered(clients[2])
            _close(clients)

    run(scenario())
    assert [bool(record.exc_info) for record in caplog.records] == [True, False]
