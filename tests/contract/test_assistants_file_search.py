"""file_search in a run: the files' passages go to the model, what it cites comes back as annotations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.beta.threads import FileCitationAnnotation, FileCitationDeltaAnnotation, Message, Text, TextDelta
from openai.types.beta.threads.runs import FileSearchToolCall, RunStep

from tests.support import scripts
from tests.support.assistants import assistants_at
from tests.support.file_search import sdk_of, upload
from tests.support.scripted_upstream import Reply, ScriptedUpstream

# Every method under `client.beta.assistants` and `.threads` says so: OpenAI's own service has ended.
pytestmark = [
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
]
MODEL = "reader"
REFUNDS = "Refunds: customers get their money back within thirty days."
#: The mark of the first passage, cut where a stream may cut it, and one that no passage has.
_PIECES = ("Thirty days ", "【1", "†refunds", ".md】", "【9†x】.", " Yes【1†refunds.md】")
_ANSWER = "".join(_PIECES)
_MARK = "【1†refunds.md】"


async def _reader(reply: Reply) -> None:
    """Cite the first passage, if there is one."""
    if reply.request.path.endswith("/models"):
        await scripts.models_list(MODEL)(reply)
        return
    has_passages = "【1†" in reply.request.json["messages"][0]["content"]
    await scripts.openai_stream(_PIECES if has_passages else ["No idea."])(reply)


@asynccontextmanager
async def _service(folder: Path) -> AsyncIterator[tuple[openai.AsyncOpenAI, ScriptedUpstream]]:
    async with (
        ScriptedUpstream(_reader) as upstream,
        assistants_at(folder, upstream.openai_url) as url,
        sdk_of(url) as client,
    ):
        yield client, upstream


async def _assistant(client: openai.AsyncOpenAI, **fields: Any) -> str:
    tools: Any = [{"type": "file_search", "file_search": {"max_num_results": 3}}]
    made = await client.beta.assistants.create(model=MODEL, instructions="Be brief.", tools=tools, **fields)
    return made.id


async def _asked(client: openai.AsyncOpenAI, assistant: str, question: str, **message: Any) -> tuple[Message, str, str]:
    """Ask, and return the answer with the ids of its thread and run."""
    asked: Any = {"role": "user", "content": question, **message}
    run = await client.beta.threads.create_and_run_poll(assistant_id=assistant, thread={"messages": [asked]})
    assert run.status == "completed", run.last_error
    newest = await client.beta.threads.messages.list(run.thread_id, limit=1)
    return newest.data[0], run.thread_id, run.id


def _text_of(message: Message) -> Text:
    [block] = message.content
    assert block.type == "text"
    return block.text


def _prompt(upstream: ScriptedUpstream) -> str:
    asked = [request for request in upstream.requests if not request.path.endswith("/models")]
    return str(asked[-1].json["messages"][0]["content"])


async def test_run_answers_from_the_assistants_files(tmp_path: Path) -> None:
    """The passage is in the prompt behind the instructions, the citation points at its mark, the other mark is text."""
    async with _service(tmp_path) as (client, upstream):
        file = await upload(client, "refunds.md", REFUNDS)
        resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
        assistant = await _assistant(client, tool_resources=resources)
        answer, _, _ = await _asked(client, assistant, "When do customers get a refund?")
        prompt = _prompt(upstream)
    assert prompt.startswith("Be brief.")
    assert f"{_MARK}\n{REFUNDS}" in prompt
    text = _text_of(answer)
    assert text.value == _ANSWER
    assert len(text.annotations) == 2
    for citation in text.annotations:
        assert isinstance(citation, FileCitationAnnotation)
        assert (citation.text, citation.file_citation.file_id) == (_MARK, file)
        assert text.value[citation.start_index : citation.end_index] == _MARK


async def test_run_step_tells_what_was_found(tmp_path: Path) -> None:
    """Its results name file and score; their text comes with `include` alone."""
    async with _service(tmp_path) as (client, _):
        file = await upload(client, "refunds.md", REFUNDS)
        resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
        assistant = await _assistant(client, tool_resources=resources)
        _, thread, run = await _asked(client, assistant, "refund")
        plain = await client.beta.threads.runs.steps.list(run, thread_id=thread, order="asc")
        included: Any = ["step_details.tool_calls[*].file_search.results[*].content"]
        full = await client.beta.threads.runs.steps.list(run, thread_id=thread, order="asc", include=included)
    assert [step.type for step in plain.data] == ["tool_calls", "message_creation"]
    [result] = _results(plain.data[0])
    assert (result.file_id, result.file_name, result.score) == (file, "refunds.md", 1.0)
    assert not result.content
    [shown] = _results(full.data[0])
    assert shown.content is not None
    assert shown.content[0].text == REFUNDS


def _results(step: RunStep) -> list[Any]:
    assert step.step_details.type == "tool_calls"
    [call] = step.step_details.tool_calls
    assert isinstance(call, FileSearchToolCall)
    return call.file_search.results or []


class _Deltas(openai.AsyncAssistantEventHandler):
    """Keeps what the stream said of the answer's text."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []
        self.citations: list[FileCitationDeltaAnnotation] = []

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.values.append(delta.value or "")
        self.citations += [item for item in delta.annotations or [] if isinstance(item, FileCitationDeltaAnnotation)]


async def test_streamed_run_shows_a_mark_whole_with_its_citation(tmp_path: Path) -> None:
    """A mark that the model cut into three is one in the stream, and its annotation comes with it."""
    async with _service(tmp_path) as (client, _):
        file = await upload(client, "refunds.md", REFUNDS)
        resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
        assistant = await _assistant(client, tool_resources=resources)
        thread: Any = {"messages": [{"role": "user", "content": "refund?"}]}
        handler = _Deltas()
        streaming = client.beta.threads.create_and_run_stream(
            assistant_id=assistant, thread=thread, event_handler=handler
        )
        async with streaming as stream:
            await stream.until_done()
            [message] = await stream.get_final_messages()
    assert "".join(handler.values) == _ANSWER
    assert any(_MARK in value for value in handler.values)
    places = [_ANSWER.index(_MARK), _ANSWER.rindex(_MARK)]
    assert [(item.index, item.text, item.start_index) for item in handler.citations] == [
        (number, _MARK, place) for number, place in enumerate(places)
    ]
    assert [(item.text, item.start_index) for item in _text_of(message).annotations] == [
        (_MARK, place) for place in places
    ]


async def test_run_answers_from_what_is_attached_to_a_message(tmp_path: Path) -> None:
    """The thread gets a vector store, the file is found though it was attached just now; a second one joins it."""
    async with _service(tmp_path) as (client, upstream):
        assistant = await _assistant(client)
        file = await upload(client, "refunds.md", REFUNDS * 2_000)
        attached: Any = [{"file_id": file, "tools": [{"type": "file_search"}]}]
        answer, thread, _ = await _asked(client, assistant, "refund?", attachments=attached)
        assert _text_of(answer).annotations
        assert "【1†refunds.md】" in _prompt(upstream)
        resources = (await client.beta.threads.retrieve(thread)).tool_resources
        assert resources is not None
        assert resources.file_search is not None
        [store] = resources.file_search.vector_store_ids or []
        second = await upload(client, "more.md", "more")
        await client.beta.threads.messages.create(
            thread, role="user", content="and?", attachments=[{"file_id": second, "tools": [{"type": "file_search"}]}]
        )
        assert {item.id async for item in client.vector_stores.files.list(store)} == {file, second}


async def test_run_without_passages_answers_all_the_same(tmp_path: Path) -> None:
    """Nothing found, or no vector store at all: the model is asked without passages."""
    async with _service(tmp_path) as (client, upstream):
        file = await upload(client, "refunds.md", REFUNDS)
        resources: Any = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
        for assistant in (await _assistant(client), await _assistant(client, tool_resources=resources)):
            answer, _, _ = await _asked(client, assistant, "xylophone")
            assert _text_of(answer).value == "No idea."
            assert _prompt(upstream) == "Be brief."


@pytest.mark.parametrize(
    "resources",
    [
        {"file_search": {"vector_store_ids": ["vs_unknown"]}},
        {"file_search": {"vector_stores": [{"file_ids": ["file-unknown"]}]}},
    ],
    ids=["store", "file"],
)
async def test_assistant_of_unknown_files_is_refused(resources: dict[str, Any], tmp_path: Path) -> None:
    """A 400 that names the place, and no assistant and no vector store that were half made."""
    async with _service(tmp_path) as (client, _):
        with pytest.raises(openai.BadRequestError) as caught:
            await _assistant(client, tool_resources=resources)
        assert str(caught.value.param).startswith("tool_resources.file_search")
        assert [item async for item in client.beta.assistants.list()] == []
        assert [item async for item in client.vector_stores.list()] == []


async def test_message_with_an_unknown_attachment_is_refused(tmp_path: Path) -> None:
    """A 400 that names the attachments; the thread stays without it."""
    async with _service(tmp_path) as (client, _):
        thread = await client.beta.threads.create()
        with pytest.raises(openai.BadRequestError, match="file-unknown"):
            await client.beta.threads.messages.create(
                thread.id,
                role="user",
                content="look",
                attachments=[{"file_id": "file-unknown", "tools": [{"type": "file_search"}]}],
            )
        assert [item async for item in client.beta.threads.messages.list(thread.id)] == []


async def test_files_may_be_larger_than_other_bodies(tmp_path: Path) -> None:
    """The upload has a limit of its own, with its own setting in the message."""
    async with ScriptedUpstream(_reader) as upstream:
        limits = {"max_body_bytes": 2_000, "max_file_bytes": 100_000}
        async with assistants_at(tmp_path, upstream.openai_url, **limits) as url, sdk_of(url) as client:
            assert await upload(client, "a.txt", "x" * 50_000)
            with pytest.raises(openai.APIStatusError, match="ASSISTANTS_MAX_FILE_BYTES") as caught:
                await upload(client, "a.txt", "x" * 200_000)
    assert caught.value.status_code == 413
