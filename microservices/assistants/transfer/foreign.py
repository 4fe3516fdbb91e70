"""What people saved from OpenAI's hosted API, as the objects of here.

https://platform.openai.com/docs/api-reference/assistants and its older version, which had `file_ids` and the tool
`retrieval`. What is not known is left out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import text_block
from microservices.assistants.objects.run import ACTIVE, RunStatus
from microservices.assistants.transfer.kinds import FILE, FILE_PART
from servicekit.documents.chunking import ChunkingStrategy

_PART_BYTES = 1_000_000


def adapted(saved: JsonObject) -> Iterator[JsonObject]:
    """Yield the lines that a saved object stands for: a file with its content is several.

    Raises:
        ValueError: A file comes without its content, or an object has not the API's shape.
    """
    if saved["object"] == FILE.name:
        yield from _file(saved)
        return
    adapt = _ADAPTERS.get(saved["object"])
    try:
        changes = adapt(saved) if adapt else {}
    except (TypeError, AttributeError, KeyError):
        raise ValueError(f"{saved['object']} {saved.get('id')}: something in it is not as the API shows it") from None
    yield {**saved, **changes}


def _file(saved: JsonObject) -> Iterator[JsonObject]:
    try:
        content = base64.b64decode(saved["content"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        raise ValueError("a file needs its content, base64, under 'content'") from None
    yield {**saved, "size_bytes": len(content)}
    for number, start in enumerate(range(0, len(content), _PART_BYTES)):
        data = base64.b64encode(content[start : start + _PART_BYTES]).decode()
        yield {"object": FILE_PART.name, "file_id": saved["id"], "number": number, "data": data}


def _assistant(saved: JsonObject) -> JsonObject:
    return {"tools": [_tool(tool) for tool in saved.get("tools") or []]}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**tool, "type": "file_search"} if tool.get("type") == "retrieval" else tool


def _message(saved: JsonObject) -> JsonObject:
    content = saved.get("content") or []
    blocks = [text_block(content)] if isinstance(content, str) else [_block(block) for block in content]
    searched = [{"file_id": file_id, "tools": [{"type": "file_search"}]} for file_id in saved.get("file_ids") or []]
    return {"content": blocks, "attachments": saved.get("attachments") or searched}


def _block(block: JsonObject) -> JsonObject:
    if block["type"] != "text":
        return block
    text = block["text"]
    if isinstance(text, str):
        return text_block(text)
    return text_block(str(text["value"]), text.get("annotations"))


def _run(saved: JsonObject) -> JsonObject:
    """Return what differs; a run that had not ended ends here: nobody works at it any more."""
    is_stranded = saved.get("status") in ACTIVE
    return {
        **_assistant(saved),
        "assistant_id": saved.get("assistant_id") or "",
        "instructions": saved.get("instructions") or "",
        "status": RunStatus.EXPIRED.value if is_stranded else saved.get("status"),
        "required_action": None,
    }


def _run_step(saved: JsonObject) -> JsonObject:
    is_stranded = saved.get("status") == "in_progress"
    status = "expired" if is_stranded else saved.get("status")
    return {"assistant_id": saved.get("assistant_id") or "", "status": status}


def _vector_store(saved: JsonObject) -> JsonObject:
    return {"last_active_at": saved.get("last_active_at") or saved.get("created_at")}


def _vector_store_file(saved: JsonObject) -> JsonObject:
    strategy = saved.get("chunking_strategy") or {}
    is_static = strategy.get("type") == "static"
    return {"chunking_strategy": strategy if is_static else {"type": "static", "static": asdict(ChunkingStrategy())}}


_ADAPTERS: Mapping[str, Callable[[JsonObject], JsonObject]] = {
    "assistant": _assistant,
    "thread.message": _message,
    "thread.run": _run,
    "thread.run.step": _run_step,
    "vector_store": _vector_store,
    "vector_store.file": _vector_store_file,
}
