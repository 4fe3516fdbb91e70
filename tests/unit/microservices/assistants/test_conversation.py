from __future__ import annotations

from typing import Any

from microservices.assistants.objects.message import Message, text_block
from microservices.assistants.objects.run import Run, RunStatus
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs.conversation import Conversation
from microservices.assistants.search.passages import Passage

_FUNCTION: dict[str, Any] = {"name": "weather", "parameters": {"type": "object"}}
_TOOL: dict[str, Any] = {"type": "function", "function": _FUNCTION}


def _run(**fields: Any) -> Run:
    return Run(
        **{
            "id": "run_1",
            "owner": "",
            "thread_id": "thread_1",
            "assistant_id": "asst_1",
            "created_at": 1,
            "status": RunStatus.IN_PROGRESS,
            "model": "m",
            **fields,
        }
    )


def _message(text: str, role: str = "user", **fields: Any) -> Message:
    return Message(
        **{
            "id": f"msg_{text}",
            "thread_id": "thread_1",
            "created_at": 1,
            "role": role,
            "content": [text_block(text)],
            **fields,
        }
    )


def _step(details: dict[str, Any], **fields: Any) -> RunStep:
    return RunStep(
        **{
            "id": "step_1",
            "run_id": "run_1",
            "thread_id": "thread_1",
            "assistant_id": "asst_1",
            "created_at": 1,
            "type": details["type"],
            "step_details": details,
            "status": "completed",
            **fields,
        }
    )


def _called(**fields: Any) -> RunStep:
    function = {"name": "weather", "arguments": '{"city":"Rome"}', "output": "sunny"}
    call = {"id": "call_1", "type": "function", "function": function}
    return _step({"type": "tool_calls", "tool_calls": [call]}, **fields)


def _said(message_id: str) -> RunStep:
    return _step({"type": "message_creation", "message_creation": {"message_id": message_id}})


def _texts(conversation: Conversation, budget: int | None = None) -> list[str]:
    return [message["content"] for message in conversation.payload(budget)["messages"]]


def test_request_of_a_plain_run_names_nothing_that_was_not_asked_for() -> None:
    """Model and messages alone: servers differ in what else they take."""
    assert Conversation(_run(), [_message("Hello?")], []).payload() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello?"}],
    }


def test_parameters_travel_under_the_names_of_chat() -> None:
    """Completion tokens become `max_tokens`; a form that is text is left out."""
    schema = {"type": "json_schema", "json_schema": {"name": "x"}}
    run = _run(temperature=0.0, top_p=0.5, reasoning_effort="low", max_completion_tokens=9, response_format=schema)
    payload = Conversation(run, [], []).payload()
    assert (payload["temperature"], payload["top_p"], payload["reasoning_effort"]) == (0.0, 0.5, "low")
    assert (payload["max_tokens"], payload["response_format"]) == (9, schema)
    assert "response_format" not in Conversation(_run(response_format={"type": "text"}), [], []).payload()


def test_instructions_and_passages_are_the_system_message() -> None:
    """Numbered passages follow the instructions, under the marks that cite them."""
    passage = Passage("file_1", "a.txt", 0.9, "Rome is old.")
    (system,) = _texts(Conversation(_run(instructions="Be kind."), [], [], [passage]))
    assert system.startswith("Be kind.\n\n")
    assert "【1†a.txt】\nRome is old." in system


def test_images_travel_as_parts() -> None:
    """A message that is not all text is a list of parts."""
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    message = _message("x", content=[text_block("What is it?"), image])
    (sent,) = Conversation(_run(), [message], []).payload()["messages"]
    assert sent["content"] == [{"type": "text", "text": "What is it?"}, image]


def test_last_messages_keeps_so_many() -> None:
    """The newest ones."""
    run = _run(truncation_strategy={"type": "last_messages", "last_messages": 2})
    assert _texts(Conversation(run, [_message(text) for text in "abc"], [])) == ["b", "c"]


def test_budget_leaves_out_the_oldest_but_never_the_last() -> None:
    """What is asked now is always sent, and so are the instructions."""
    run = _run(instructions="Be kind.")
    conversation = Conversation(run, [_message(text * 40) for text in "abc"], [])
    assert _texts(conversation, 1) == ["Be kind.", "c" * 40]
    assert _texts(conversation, 40) == ["Be kind.", "b" * 40, "c" * 40]
    assert len(_texts(conversation, 1_000)) == 4


def test_attempts_that_were_interrupted_are_not_shown() -> None:
    """Their answer was made again; what a limit or the user cut off was not."""
    cut = _message("cut", "assistant", status="incomplete", incomplete_details={"reason": "max_tokens"})
    died = _message("died", "assistant", status="incomplete", incomplete_details={"reason": "run_failed"})
    open_one = _message("open", "assistant", status="in_progress", content=[])
    assert _texts(Conversation(_run(), [cut, died, open_one], [])) == ["cut"]


def test_outputs_follow_the_calls_that_asked_for_them() -> None:
    """One assistant's message with text and calls, then a `tool` message for each."""
    own = _message("Let me see.", "assistant", run_id="run_1")
    conversation = Conversation(_run(tools=[_TOOL]), [_message("Rome?"), own], [_said(own.id), _called()])
    _, asked, output = conversation.payload()["messages"]
    assert asked["content"] == "Let me see."
    assert asked["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert output == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def test_tool_choice_holds_for_the_first_round() -> None:
    """A model that must call a function each time would never answer."""
    run = _run(tools=[_TOOL], tool_choice="required", parallel_tool_calls=False)
    first = Conversation(run, [], []).payload()
    assert first["tools"] == [_TOOL]
    assert first["tool_choice"] == "required"
    assert first["parallel_tool_calls"] is False
    assert "tool_choice" not in Conversation(run, [], [_called()]).payload()


def test_file_search_is_no_tool_of_the_model() -> None:
    """It was done before the model is asked."""
    assert "tools" not in Conversation(_run(tools=[{"type": "file_search"}]), [], []).payload()


def test_bounds_of_tokens_count_all_rounds() -> None:
    """What the rounds before have used is not there any more."""
    run = _run(max_completion_tokens=10, max_prompt_tokens=100)
    usage = {"prompt_tokens": 60, "completion_tokens": 4, "total_tokens": 64}
    conversation = Conversation(run, [], [_called(usage=usage)])
    assert (conversation.completion_tokens_left, conversation.prompt_tokens_left) == (6, 40)


def test_question_is_the_last_message_of_a_user() -> None:
    """An assistant's message behind it does not hide it."""
    conversation = Conversation(_run(), [_message("a"), _message("b"), _message("c", "assistant")], [])
    assert conversation.question == "b"
