"""What stands behind the question mark: pages, `include[]`, where a stream goes on."""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request

from microservices.assistants.store.paging import PageQuery
from servicekit.errors import InvalidRequestError

#: The only thing that can be included; https://platform.openai.com/docs/api-reference/run-steps/listRunSteps
INCLUDED_CONTENT = "step_details.tool_calls[*].file_search.results[*].content"
_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100
_MAX_EVENT_DIGITS = 9


def page_query(request: Request, default_limit: int = _DEFAULT_LIMIT, max_limit: int = _MAX_LIMIT) -> PageQuery:
    """Return the page that a request asks for.

    Raises:
        InvalidRequestError: `limit` is no number of 1 to `max_limit`, or `order` is neither asc nor desc.
    """
    asked = request.query_params
    limit, order = asked.get("limit", str(default_limit)), asked.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 1 <= int(limit) <= max_limit):
        raise InvalidRequestError(f"limit: expected a number of 1 to {max_limit}, found '{limit}'.", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequestError(f"order: expected 'asc' or 'desc', found '{order}'.", param="order")
    return PageQuery(int(limit), cast("Any", order), id_query(request, "after"), id_query(request, "before"))


def id_query(request: Request, name: str) -> str | None:
    """Return an id of the query; an empty one counts as none.

    Raises:
        InvalidRequestError: It holds a character that no id has.
    """
    value = request.query_params.get(name)
    if value is not None and not value.isprintable():
        raise InvalidRequestError(f"{name}: expected an id, found {value!r}.", param=name)
    return value or None


def includes_content(request: Request) -> bool:
    """Return whether the results of file_search are wanted with their text.

    Raises:
        InvalidRequestError: Something else is to be included.
    """
    wanted = [*request.query_params.getlist("include[]"), *request.query_params.getlist("include")]
    for name in wanted:
        if name != INCLUDED_CONTENT:
            raise InvalidRequestError(f"include: expected '{INCLUDED_CONTENT}', found '{name}'.", param="include")
    return bool(wanted)


def last_event_number(request: Request) -> int:
    """Return the number of the last event that a client saw: header `Last-Event-ID`, else `after`; 0 for none.

    Raises:
        InvalidRequestError: It is no number.
    """
    for name, value in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if value:
            if not (value.isascii() and value.isdigit() and len(value) <= _MAX_EVENT_DIGITS):
                raise InvalidRequestError(f"{name}: expected the number of an event, found '{value}'.", param=name)
            return int(value)
    return 0
