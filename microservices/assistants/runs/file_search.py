"""The file_search of a run: one search, before the model is asked, kept in a run step of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.run import Run
from microservices.assistants.objects.run_step import RunStep
from microservices.assistants.runs import event_names
from microservices.assistants.runs.answer import open_step
from microservices.assistants.runs.journal import Journal
from microservices.assistants.search.passages import Passage, Search
from servicekit.ids import new_id

#: As many passages as a small model's context has room for; `max_num_results` of the tool asks for others.
_DEFAULT_PASSAGES: Final = 5


def is_wanted(run: Run) -> bool:
    """Return whether a run has files to search in, and may."""
    has_tool = any(tool["type"] == "file_search" for tool in run.tools)
    return has_tool and bool(_vector_stores(run)) and run.tool_choice != "none"


def found_before(steps: Sequence[RunStep]) -> list[Passage] | None:
    """Return the passages that a run's search has found; None: it has not searched."""
    for step in steps:
        for call in _search_calls(step):
            return [
                Passage(
                    result["file_id"],
                    result["file_name"],
                    result["score"],
                    "\n".join(part["text"] for part in result["content"]),
                )
                for result in call["file_search"].get("results") or ()
            ]
    return None


async def find(search: Search, run: Run, question: str) -> list[Passage]:
    """Search the run's vector stores for the passages that a question is about."""
    options = _options(run)
    limit = options.get("max_num_results") or _DEFAULT_PASSAGES
    return await search.find(run.owner, _vector_stores(run), question, limit, _threshold(options))


def tell_search(run: Run, journal: Journal, passages: Sequence[Passage]) -> RunStep:
    """Tell of a search that is done, and of what it found."""
    step = open_step(run, journal, {"type": "tool_calls", "tool_calls": []})
    ranking = {"ranker": "auto", "score_threshold": _threshold(_options(run))}
    results = [
        {
            "file_id": passage.file_id,
            "file_name": passage.filename,
            "score": passage.score,
            "content": [{"type": "text", "text": passage.text}],
        }
        for passage in passages
    ]
    call: JsonObject = {
        "id": new_id("call_"),
        "type": "file_search",
        "file_search": {"ranking_options": ranking, "results": results},
    }
    details = {"type": "tool_calls", "tool_calls": [call]}
    done = replace(step, status="completed", completed_at=int(time.time()), step_details=details)
    journal.put(done)
    delta = {
        "id": step.id,
        "object": "thread.run.step.delta",
        "delta": {"step_details": {"type": "tool_calls", "tool_calls": [{"index": 0, **call}]}},
    }
    journal.tell(
        (event_names.STEP_DELTA, delta),
        (event_names.of_step("completed"), done.to_json()),
    )
    return done


def _search_calls(step: RunStep) -> list[JsonObject]:
    if step.status != "completed":
        return []
    return [call for call in step.step_details.get("tool_calls") or () if call.get("type") == "file_search"]


def _vector_stores(run: Run) -> list[str]:
    resources = (run.tool_resources or {}).get("file_search") or {}
    return list(resources.get("vector_store_ids") or ())


def _options(run: Run) -> JsonObject:
    tool = next((tool for tool in run.tools if tool["type"] == "file_search"), {})
    return tool.get("file_search") or {}


def _threshold(options: JsonObject) -> float:
    return float((options.get("ranking_options") or {}).get("score_threshold") or 0.0)
