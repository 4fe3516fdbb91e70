"""Speaks to a node that answers OpenAI chat requests: JSON and SSE."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from megaservice.nodes.base import NodeCall, Output, StreamPart, bounded, call_headers
from megaservice.nodes.credentials import key_headers
from megaservice.nodes.inputs import DeclaredInputs
from megaservice.pipeline.spec import History, NodeSpec, SystemMessage
from megaservice.pipeline.templates import PromptTemplate
from servicekit.errors import InvalidRequestError, ServiceError
from servicekit.http.client import HttpClient, Target
from servicekit.http.response import Sink
from servicekit.openai.assembler import ChatAssembler
from servicekit.openai.chat import last_user_text, text_of
from servicekit.openai.upstream import ChatStream, ChatUpstream

#: What a request says to the gateway and not to the model.
_NOT_SAMPLING = frozenset({"messages", "model", "stream", "stream_options"})
#: OPEA's and others' fields that OpenAI-compatible servers do not know and may refuse (decision 0, question 4).
NOT_OPENAI = frozenset(
    {"max_new_tokens", "typical_p", "repetition_penalty", "chat_template", "streaming", "input", "query", "text"}
)
_NOT_PASSED_ON = _NOT_SAMPLING | NOT_OPENAI
_SYSTEM_ROLES = ("system", "developer")


class ChatNode:
    """The client of one chat node.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        http: The process's connection pool.
    """

    def __init__(self, name: str, spec: NodeSpec, http: HttpClient) -> None:
        self.spec = spec
        self._target = Target(f"node '{name}'", spec.url)
        self._upstream = ChatUpstream(http, self._target)
        self._headers = key_headers(spec)
        self._inputs = DeclaredInputs(spec.inputs, name)
        self._system = _template(spec.prompt.system, f"node '{name}', 'prompt.system'")
        self._user = _template(spec.prompt.user, f"node '{name}', 'prompt.user'")

    async def call(self, call: NodeCall) -> Output:
        """Ask for the whole `chat.completion`; see `NodeClient.call`."""
        timeouts = bounded(self.spec.timeouts, call.context)
        headers = call_headers(self._headers, self.spec, call.context)
        return await self._upstream.complete(self.payload(call), headers, timeouts)

    def open_stream(self, call: NodeCall) -> ChatNodeStream:
        """Return the streamed answer; the request goes out when it is iterated."""
        timeouts = bounded(self.spec.timeouts, call.context)
        headers = call_headers(self._headers, self.spec, call.context)
        return ChatNodeStream(self._upstream.stream(self.payload(call), headers, timeouts))

    def text_of(self, output: Output) -> str | None:
        """Return the text of the first choice."""
        return text_of(output["choices"][0]["message"].get("content")) if output.get("choices") else None

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body: what is attached in place of an answer."""
        return error.body()

    def payload(self, call: NodeCall) -> dict[str, Any]:
        """Build the request's body.

        The pipeline's parameters are defaults; the request's own values win, at the node that writes the answer.

        Raises:
            InvalidRequestError: There is no text to send.
            InternalError: A template or an input cannot be filled in.
        """
        request = call.request
        payload: dict[str, Any] = {**self.spec.parameters}
        if call.is_answer:
            payload.update({key: value for key, value in request.items() if key not in _NOT_PASSED_ON})
        model = self.spec.model or request.get("model")
        if model:
            payload["model"] = model
        payload["messages"] = self._messages(call)
        return payload

    def _messages(self, call: NodeCall) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = list(call.request.get("messages", ()))
        is_alone = self.spec.prompt.history is History.LAST_USER_MESSAGE
        if self._user is not None:
            text: str | None = self._user.filled_in(call.scope())
        else:
            text = self._text(call)
            is_alone = is_alone or text is not None
            if text is None and is_alone:
                text = last_user_text(messages)
        if text is not None:
            if not text.strip():
                raise InvalidRequestError("messages: there is no user message with text to work on.", param="messages")
            messages = _of_roles(messages, _SYSTEM_ROLES) if is_alone else _before_last_user(messages)
            messages.append({"role": "user", "content": text})
        return self._with_prompt(messages, call)

    def _with_prompt(self, messages: list[dict[str, Any]], call: NodeCall) -> list[dict[str, Any]]:
        """Put the pipeline's prompt first; the caller's own system message follows it, unless it is replaced."""
        if self._system is None:
            return messages
        is_replaced = self.spec.prompt.caller_system is SystemMessage.REPLACE
        own = [] if is_replaced else _of_roles(messages, _SYSTEM_ROLES)
        prompt = self._system.filled_in({} if self._system.is_plain else call.scope())
        # One system message: many chat templates refuse or ignore a second one.
        system = "\n\n".join([prompt, *(text_of(message.get("content")) for message in own)])
        rest = [message for message in messages if message["role"] not in _SYSTEM_ROLES]
        return [{"role": "system", "content": system}, *rest]

    def _text(self, call: NodeCall) -> str | None:
        """Return the text that takes the conversation's place: the declared input, else what the node before wrote."""
        if "text" in self._inputs:
            value = self._inputs.values(call)["text"]
            return value if isinstance(value, str) else ""
        return call.nearest_text


def _of_roles(messages: list[dict[str, Any]], roles: tuple[str, ...]) -> list[dict[str, Any]]:
    return [message for message in messages if message["role"] in roles]


def _before_last_user(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the conversation up to its newest user message, without that."""
    for index in reversed(range(len(messages))):
        if messages[index]["role"] == "user":
            return messages[:index]
    return list(messages)


def _template(text: str | None, owner: str) -> PromptTemplate | None:
    return None if text is None else PromptTemplate(text, owner)


class ChatNodeStream:
    """The streamed answer of a chat node.

    Args:
        stream: The upstream's.
    """

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream
        self._assembled = ChatAssembler()

    def relay_to(self, sink: Sink, taken: Callable[[], None]) -> None:
        """Offer to a sink the parts that add text and nothing else; see `NodeStream`."""
        add_text = self._assembled.text_adder()

        def note(text: str) -> None:
            add_text(text)
            taken()

        self._stream.relay_to(sink, note)

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the events of each read; the usage is kept back for the stream's last event."""
        async with aclosing(self._stream.batches()) as batches:
            async for batch in batches:
                text = batch.text
                if text is None:
                    text = "".join([self._assembled.add(chunk) for chunk in batch.documents()])
                else:
                    self._assembled.add_text(text)
                encoded = batch.events()
                if encoded:
                    yield StreamPart(encoded, text)

    def headers(self) -> Mapping[str, str]:
        """Return the headers that the first chunk calls for."""
        notice = self._assembled.notice
        return {"x-model-notice": str(notice["code"])} if notice else {}

    def output(self) -> Output:
        """Return the answer as JSON mode would have."""
        return self._assembled.completion()
