"""The lines of a file as objects to store; what cannot be read is noted with its line."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, groupby, islice
from typing import Any, BinaryIO

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import LargeBinary

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import Message
from microservices.assistants.transfer.foreign import adapted
from microservices.assistants.transfer.kinds import BY_NAME, END, HEADER, VERSION, Kind
from microservices.assistants.transfer.report import Report
from servicekit.errors import ConfigurationError

#: A longer line is not held in memory: no line of ours is nearly so long.
_MAX_LINE_BYTES = 700_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """An object to store, and where it stood."""

    line: int
    kind: Kind
    item: Any

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from all others of its kind."""
        return tuple(getattr(self.item, name) for name in self.kind.key)


class Source:
    """Reads the objects of a file, one line after the other.

    Args:
        stream: The file.
        report: Where lines are noted that cannot be read.
        owner: Whose the objects become; None: whose the file says they are.
        is_owner_needed: Whether an object without an owner could be reached by nobody.

    Attributes:
        is_export: Whether the file is an export of ours; else it holds objects of OpenAI's API.
    """

    def __init__(self, stream: BinaryIO, report: Report, *, owner: str | None, is_owner_needed: bool) -> None:
        self.is_export = False
        self._stream = stream
        self._report = report
        self._owner = owner
        self._is_owner_needed = is_owner_needed and owner is None
        self._is_whole = False

    def records(self) -> Iterator[Record]:
        """Yield the objects; the older of a thread's messages first.

        Raises:
            ConfigurationError: A newer version made the file, or nobody could reach its objects.
        """
        found = self._all()
        first = list(islice(found, 1))  # from here on it is known what kind of file it is
        in_order = chain(first, found)
        yield from in_order if self.is_export else _oldest_first(in_order)

    def _all(self) -> Iterator[Record]:
        number = 0
        for number, line in enumerate(_lines(self._stream), start=1):
            if line.strip():
                try:
                    yield from self._read(number, line)
                except ValueError as exc:
                    self._report.refuse(number, f"{exc}.")
        if self.is_export and not self._is_whole:
            self._report.refuse(number + 1, "the file is cut off here. Export once more; this can be imported again.")

    def _read(self, number: int, line: bytes) -> Iterator[Record]:
        for saved in _objects(line):
            name = saved["object"]
            if name == HEADER:
                self._begin(saved)
            elif name == END:
                self._is_whole = True
            elif name not in BY_NAME:
                raise ValueError(f"the object '{name}' is not known; there are: {', '.join(BY_NAME)}")
            else:
                for record in [saved] if self.is_export else adapted(saved):
                    kind = BY_NAME[record["object"]]
                    yield Record(number, kind, self._item(kind, record))

    def _begin(self, header: JsonObject) -> None:
        if header.get("version") != VERSION:
            raise ConfigurationError(
                f"The file is an export of version {header.get('version')}; this program reads version {VERSION}. "
                "Import it with the version of the project that made it, or a newer one."
            )
        self.is_export = True

    def _item(self, kind: Kind, record: JsonObject) -> object:
        values = {name: value for name in kind.columns if (value := _value(kind, record, name)) is not _LEFT_OUT}
        if "owner" in kind.table.c:
            values["owner"] = self._owner_of(record.get("owner"))
        try:
            return _adapter(kind.item).validate_python(values)
        except ValidationError as exc:
            problem = exc.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in problem["loc"])
            raise ValueError(f"{kind.name} {record.get('id', '')}: {place}: {problem['msg']}") from None

    def _owner_of(self, given: str | None) -> str:
        if self._is_owner_needed and not given:
            raise ConfigurationError(
                "API_KEYS is set and the file does not say whose its objects are. Name the variable with the key that "
                "they shall belong to: --api-key-env NAME."
            )
        return self._owner if self._owner is not None else given or ""


_LEFT_OUT = object()


def _value(kind: Kind, record: JsonObject, name: str) -> object:
    """Return a column's value; what is missing, or null where it must not be, is as in a new object."""
    column = kind.table.c[name]
    value = record.get(name)
    if value is None:
        return None if column.nullable and name in record else _LEFT_OUT
    if isinstance(column.type, LargeBinary):
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, binascii.Error):
            raise ValueError(f"'{name}' is not base64") from None
    return value


@cache
def _adapter(item: type) -> TypeAdapter[Any]:
    return TypeAdapter(item)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE_BYTES):
        yield line


def _objects(line: bytes) -> list[JsonObject]:
    """Return the objects of a line: one, or those of a page that was saved whole."""
    try:
        document = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not JSON ({exc.msg}, column {exc.colno}); each line is one whole object") from None
    is_page = isinstance(document, dict) and document.get("object") == "list"
    found = document.get("data") if is_page else document
    objects = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) and isinstance(entry.get("object"), str) for entry in objects):
        raise ValueError("not an object of the API: its 'object' says what it is, such as \"thread.message\"")
    return objects


def _oldest_first(records: Iterable[Record]) -> Iterator[Record]:
    """Turn round the messages of a thread that were saved as the API lists them, the newest first.

    Only one thread's messages are held at a time, and none of an export of ours, whose lines are in order.
    """
    for thread_id, group in groupby(records, _thread_of_message):
        if thread_id is None:
            yield from group
            continue
        messages = list(group)
        is_falling = messages[0].item.created_at > messages[-1].item.created_at
        yield from reversed(messages) if is_falling else messages


def _thread_of_message(record: Record) -> str | None:
    return record.item.thread_id if isinstance(record.item, Message) else None
