"""One JSON request to a node, one JSON object back: what every node does that speaks no OpenAI."""

from __future__ import annotations

import orjson

from megaservice.nodes.base import Output, bounded, call_headers
from megaservice.nodes.credentials import key_headers
from megaservice.pipeline.spec import NodeSpec
from servicekit.context import CallContext
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target
from servicekit.http.upstream_errors import error_from_answer


class JsonService:
    """The endpoint of one node.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        http: The process's connection pool.
    """

    def __init__(self, name: str, spec: NodeSpec, http: HttpClient) -> None:
        self.target = Target(f"node '{name}'", spec.url)
        self._spec = spec
        self._headers = {"content-type": "application/json", **key_headers(spec)}
        self._http = http

    async def post(self, payload: Output, context: CallContext) -> Output:
        """Post a JSON object and return the one that is answered.

        Raises:
            ServiceError: Naming the node, its endpoint and what it answered.
        """
        response, body = await self._http.fetch(
            "POST",
            self.target,
            body=orjson.dumps(payload),
            headers=call_headers(self._headers, self._spec, context),
            timeouts=bounded(self._spec.timeouts, context),
        )
        if response.status != 200:
            raise error_from_answer(self.target, response.status, response.headers, body)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise UpstreamBadResponseError(f"{self.target} answered broken JSON: {exc.msg}.") from exc
        if not isinstance(document, dict):
            raise UpstreamBadResponseError(f"{self.target} answered JSON that is no object.")
        return document
