"""One HTTP request to an ASGI application, its `receive` and `send` driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Scope


class Conversation:
    """The server's side of one request: what the client sends, when it leaves, what was sent to it.

    Args:
        parts: The parts of the request's body; the last one ends it.
        method: The HTTP method.
        path: The path.
        headers: Of the request.
    """

    def __init__(
        self,
        parts: Iterable[bytes] = (b"",),
        *,
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        #: Every message that the application sent.
        self.sent: list[Message] = []
        #: Set with each message that the application sends.
        self.news = asyncio.Event()
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        body = list(parts)
        for index, part in enumerate(body):
            more = index < len(body) - 1
            self._incoming.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        """Give the application what the client sends next."""
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        self.sent.append(message)
        self.news.set()

    async def run(self, app: ASGIApp) -> None:
        """Run the application until it has answered."""
        await app(self.scope, self.receive, self.send)

    @property
    def status(self) -> int:
        """The status that was sent."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The headers that were sent."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The body that was sent so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_complete(self) -> bool:
        """Whether the answer's end was sent."""
        last = self.sent[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)
