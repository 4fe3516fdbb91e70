"""The endpoints that the pipelines declare: one route for all of them, over the table of the moment."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from megaservice.routing import RoutingTable
from megaservice.served import ServedPipelines
from servicekit.errors import ServiceError
from servicekit.openai.chat import ChatRequest
from servicekit.validation import parse_body

_TABLE = "megaservice.routing_table"


class PipelineEndpoint:
    """What the scope names as its route: metrics and statistics count by its path."""

    def __init__(self, path: str) -> None:
        self.path = path


class PipelineRoutes(BaseRoute):
    """Answers at every endpoint of every pipeline that is served now.

    Args:
        served: Holds the table, which may be replaced at any moment; a request keeps the one it found.
    """

    def __init__(self, served: ServedPipelines) -> None:
        self._served = served

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this request is for a pipeline, and what its handling needs."""
        table = self._served.table
        if scope["type"] != "http" or not table.has(scope["path"]):
            return Match.NONE, {}
        match = Match.FULL if scope["method"] == "POST" else Match.PARTIAL
        return match, {"route": PipelineEndpoint(scope["path"]), _TABLE: table}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request.

        Raises:
            HTTPException: It is no POST.
            ServiceError: Nothing was sent yet; the status says why.
        """
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        table: RoutingTable = scope[_TABLE]
        request = Request(scope, receive, send)
        chat = parse_body(await request.body(), ChatRequest)
        gateway = table.pick(scope["path"], chat.model)
        with gateway.in_work():
            try:
                response = await gateway.answer(request, chat)
            except ServiceError as exc:
                raise table.explained(exc, chat.model) from exc
            await response(scope, receive, send)
