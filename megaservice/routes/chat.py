"""The chat service: `GET /models`, and `POST /chat`, which answers text, provider, model, usage and latency.

It speaks simpler words than OpenAI's routes and answers by the same pipeline: what holds for `/v1/chat/completions`
(retries, deadlines, metrics, records, a client that leaves) holds here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.types import Receive, Scope, Send

from megaservice.routes.chat_answer import ChatAnswer, JsonAnswer, StreamedAnswer
from megaservice.routing import CHAT_COMPLETIONS, RoutingTable
from megaservice.served import ServedPipelines
from servicekit.asgi.docs import body_docs
from servicekit.asgi.exchange import exchange_of
from servicekit.errors import InvalidRequestError, ServiceError
from servicekit.models import ModelCatalog
from servicekit.nearest import nearest
from servicekit.openai.chat import ChatMessage
from servicekit.validation import check_object, parse_json_object


class _Body(BaseModel):
    """An object of a request; a field that is null is one that is not set."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


class ChatParams(_Body):
    """How the model is to answer; what is not set is the model's own default."""

    temperature: float | None = Field(None, ge=0, le=2, description="0 gives the likeliest answer.")
    top_p: float | None = Field(None, ge=0, le=1, description="The share of probability that tokens are taken from.")
    max_tokens: int | None = Field(None, ge=1, description="The longest answer, in tokens.")
    seed: int | None = Field(
        None, ge=-(2**63), le=2**63 - 1, description="The same seed gives the same answer, where the model can."
    )
    stream: bool = Field(False, description="Whether the answer comes as server-sent events while it is written.")
    json_mode: bool = Field(False, description="Whether the text must be a JSON object.")


class ChatServiceRequest(_Body):
    """A request to the chat service."""

    model: str | None = Field(None, description="An alias of models.json; the default's if absent.")
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | Annotated[str, Field(min_length=1)]
    params: ChatParams = Field(default_factory=ChatParams)

    def openai_body(self) -> dict[str, Any]:
        """Return the same request as OpenAI's chat completions takes it."""
        messages = self.messages
        if not isinstance(messages, str):
            messages = [message.model_dump(exclude_unset=True) for message in messages]  # type: ignore[misc]
        params = self.params.model_dump(exclude_none=True, exclude={"stream", "json_mode"})
        body = {"model": self.model, "messages": messages, **params}
        if self.params.json_mode:
            body["response_format"] = {"type": "json_object"}
        if self.params.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


def chat_router(catalog: ModelCatalog, served: ServedPipelines) -> APIRouter:
    """Build the chat service's routes over the names of models.json and the pipeline of `/v1/chat/completions`."""
    router = APIRouter(tags=["chat"])

    @router.get("/models", summary="The aliases in models.json")
    async def list_aliases() -> dict[str, Any]:
        return {
            "default": catalog.default_name,
            "aliases": {alias: _described(catalog, alias) for alias in catalog.aliases},
        }

    # The body is checked by hand, so FastAPI is only told how to show it.
    @router.post("/chat", summary="Chat with a model", openapi_extra=body_docs(ChatServiceRequest))
    async def chat(request: Request) -> Response:
        asked = _checked(await request.body())
        return _Answering(asked, served.table, catalog)

    return router


def _described(catalog: ModelCatalog, alias: str) -> dict[str, Any]:
    """Return the alias's provider and model, the first of several, and all of them where there are several."""
    entries = catalog.alias(alias).deployments
    places = [{"provider": entry.provider, "model": entry.served_name(catalog.folder)} for entry in entries]
    return {**places[0], **({"deployments": places} if len(places) > 1 else {})}


class _Answering(Response):
    """The answer of the request's pipeline, in the chat service's words."""

    def __init__(self, asked: ChatServiceRequest, table: RoutingTable, catalog: ModelCatalog) -> None:
        super().__init__()
        self._asked = asked
        self._table = table
        self._catalog = catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the pipeline and send what it answers.

        Raises:
            ServiceError: Nothing was sent yet; the status says why.
        """
        model = self._asked.model
        answer = ChatAnswer(self._catalog, model, exchange_of(scope).started)
        gateway = self._table.pick(CHAT_COMPLETIONS, model)
        sender = (StreamedAnswer if self._asked.params.stream else JsonAnswer)(answer, send)
        gateway.running += 1
        try:
            # Without the server's extensions: parts of a stream would be written past the sender that rewrites them.
            await gateway.answer({**scope, "extensions": {}}, receive, sender, self._asked.openai_body())
        except ServiceError as exc:
            raise _in_our_words(self._table.explained(exc, model)) from exc
        finally:
            gateway.running -= 1


def _checked(content: bytes) -> ChatServiceRequest:
    """Return the checked request; a key that is not known is told of with those that are.

    Raises:
        InvalidRequestError: It is not acceptable; `param` names the place, such as `params.temperature`.
    """
    body = parse_json_object(content)
    params = body.get("params")
    for key in body.keys() - ChatServiceRequest.model_fields.keys():
        if key in ChatParams.model_fields:
            raise InvalidRequestError(f'{key}: put it into "params": {{"params": {{"{key}": ...}}}}.', param=key)
        raise _unknown(key, key, ChatServiceRequest.model_fields)
    for key in params.keys() - ChatParams.model_fields.keys() if isinstance(params, dict) else ():
        raise _unknown(f"params.{key}", key, ChatParams.model_fields)
    return check_object(body, ChatServiceRequest)


def _unknown(place: str, key: str, known: Iterable[str]) -> InvalidRequestError:
    names = ", ".join(known)
    return InvalidRequestError(
        f"{place}: the key is not known here.{nearest(key, known)} The keys are {names}.", param=place
    )


def _in_our_words(error: ServiceError) -> ServiceError:
    """Return an error with its `param` as this service calls it: what a model refuses stands in `params` here."""
    if error.param in ChatParams.model_fields:
        error.param = f"params.{error.param}"
    elif error.param == "response_format":
        error.param = "params.json_mode"
    return error
