"""A megaservice of opea-comps' own shipped classes, written as OPEA's examples write theirs.

Two chains in one process: an LLM alone, and an LLM before a grader. Nothing of ours is on the way, and nothing of
theirs is changed: its server, its loop and its access log run as they ship.
"""

from __future__ import annotations

import argparse
from typing import Any

from comps import MicroService, ServiceOrchestrator, ServiceRoleType, ServiceType
from comps.cores.proto.api_protocol import (
    ChatCompletionRequest,
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatMessage,
    UsageInfo,
)
from comps.cores.proto.docarray import LLMParams
from fastapi import Request
from fastapi.responses import StreamingResponse

from benchmarks.paths import CHAT_PATH, GRADE_PATH, UPSTREAM_CHAT_PATH, UPSTREAM_GRADE_PATH


class _Orchestrator(ServiceOrchestrator):  # type: ignore[misc]  # comps has no types
    """Stock's orchestrator with the hooks that an OpenAI-shaped LLM and a grader need."""

    def align_inputs(self, inputs: dict[str, Any], cur_node: str, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        if self.services[cur_node].service_type == ServiceType.LLM:
            return inputs
        return {"source": inputs["source"], "candidate": inputs["text"]}

    def align_outputs(
        self, data: dict[str, Any], cur_node: str, inputs: dict[str, Any], *_args: Any, **_kwargs: Any
    ) -> dict[str, Any]:
        if self.services[cur_node].service_type != ServiceType.LLM:
            return data
        text = data["choices"][0]["message"]["content"]
        return {"text": text, "source": inputs["messages"][-1]["content"]}


class StockGateway:
    """The gateway class of an OPEA example."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self._port = port
        self._upstream_port = upstream_port
        self.chat = _Orchestrator().add(self._remote("llm", UPSTREAM_CHAT_PATH, ServiceType.LLM))
        llm = self._remote("llm", UPSTREAM_CHAT_PATH, ServiceType.LLM)
        grader = self._remote("grader", UPSTREAM_GRADE_PATH, ServiceType.UNDEFINED)
        self.graded = _Orchestrator().add(llm).add(grader)
        self.graded.flow_to(llm, grader)

    def _remote(self, name: str, path: str, kind: ServiceType) -> MicroService:
        return MicroService(
            name=name,
            host="127.0.0.1",
            port=self._upstream_port,
            endpoint=path,
            use_remote_service=True,
            service_type=kind,
        )

    # The handlers say no return type, as in the examples: FastAPI would make a response model of it.

    async def handle_chat(self, request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """Answer with what the LLM says."""
        result_dict, runtime_graph = await self._schedule(self.chat, request)
        for response in result_dict.values():
            if isinstance(response, StreamingResponse):
                return response
        return _completion(result_dict[runtime_graph.all_leaves()[-1]]["text"])

    async def handle_graded(self, request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """Answer with what the LLM says, and the grade."""
        result_dict, runtime_graph = await self._schedule(self.graded, request)
        answer: dict[str, Any] = _completion(result_dict["llm/MicroService"]["text"]).model_dump()
        return {**answer, "grade": result_dict[runtime_graph.all_leaves()[-1]]}

    async def _schedule(self, orchestrator: ServiceOrchestrator, request: Request) -> Any:  # noqa: ANN401 - stock's pair
        data = await request.json()
        parameters = LLMParams(model=data.get("model"), stream=bool(data.get("stream")))
        return await orchestrator.schedule(initial_inputs={"messages": data["messages"]}, llm_parameters=parameters)

    def start(self) -> None:
        """Serve, as `HTTPService.start` does."""
        service = MicroService(
            type(self).__name__,
            service_role=ServiceRoleType.MEGASERVICE,
            host="127.0.0.1",
            port=self._port,
            endpoint=CHAT_PATH,
            input_datatype=ChatCompletionRequest,
            output_datatype=ChatCompletionResponse,
        )
        service.add_route(CHAT_PATH, self.handle_chat, methods=["POST"])
        service.add_route(GRADE_PATH, self.handle_graded, methods=["POST"])
        service.start()


def _completion(text: str) -> ChatCompletionResponse:
    choice = ChatCompletionResponseChoice(
        index=0, message=ChatMessage(role="assistant", content=text), finish_reason="stop"
    )
    return ChatCompletionResponse(model="bench", choices=[choice], usage=UsageInfo())


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stock_gateway", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    arguments = parser.parse_args()
    StockGateway(arguments.port, arguments.upstream_port).start()


if __name__ == "__main__":
    main()
