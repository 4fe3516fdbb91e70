"""Marks the answers of a model that knows its limits: `"notice": {"code", "message"}` in the answer.

Two notices, from the model's profile. `out_of_domain`: the model wrote its own marker, which is taken out of the
text. `translation_only`: the request had no system message, and the model can do one thing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servicekit.model_profile import ModelProfile, OutOfDomain
from servicekit.openai.chat import ChatObject

_TRANSLATION_ONLY = "translation_only"


class MarkerStripper:
    """Takes a marker off the start of a text that comes in pieces; the result does not depend on the pieces.

    Args:
        out_of_domain: The marker, and what to say if nothing follows it.
    """

    def __init__(self, out_of_domain: OutOfDomain) -> None:
        self._out_of_domain = out_of_domain
        self._held = ""
        self._has_passed = False
        #: Whether the text started with the marker; None while it may yet.
        self.found: bool | None = None

    def feed(self, piece: str) -> str:
        """Return what can be passed on after this piece."""
        if self.found is None:
            piece, self._held = self._held + piece, ""
            marker = self._out_of_domain.marker
            if piece.startswith(marker):
                self.found = True
                piece = piece[len(marker) :]
            elif marker.startswith(piece):
                self._held = piece
                return ""
            else:
                self.found = False
        if self.found and not self._has_passed:
            piece = piece.lstrip()
        self._has_passed = self._has_passed or bool(piece)
        return piece

    def end(self) -> str:
        """Return what is left when the text has ended; the profile's sentence if the marker stood alone."""
        if self.found is None:
            self.found = False
            return self._held
        return self._out_of_domain.message if self.found and not self._has_passed else ""


class NoticeMarker:
    """Marks the answer to one request, JSON or stream.

    Args:
        profile: Of the model that answers; None marks nothing.
        messages: The request's.
    """

    def __init__(self, profile: ModelProfile | None, messages: Sequence[Mapping[str, Any]]) -> None:
        self._out_of_domain = profile.out_of_domain if profile else None
        self._standing = None
        if profile and profile.notice and not _has_system_message(messages):
            self._standing = {"code": _TRANSLATION_ONLY, "message": profile.notice}
        self._strippers: dict[int, MarkerStripper] = {}
        self._held: list[ChatObject] = []
        self._is_decided = False

    def completion(self, answer: ChatObject) -> ChatObject:
        """Return a `chat.completion` without the marker, and marked."""
        for choice in answer["choices"]:
            text = choice["message"].get("content")
            if text and self._out_of_domain is not None:
                stripper = self._stripper(choice["index"])
                choice["message"]["content"] = stripper.feed(text) + stripper.end()
        return self._marked(answer)

    def chunk(self, chunk: ChatObject) -> list[ChatObject]:
        """Take the next chunk of a stream and return those to pass on; the first of all carries the notice.

        Chunks are held back only while the text so far may still become the marker.
        """
        if self._out_of_domain is not None:
            for choice in chunk["choices"]:
                self._strip(choice)
        if self._is_decided:
            return [chunk]
        self._held.append(chunk)
        if self._out_of_domain is not None and not self._knows() and chunk["choices"]:
            return []
        return self._release()

    def _strip(self, choice: dict[str, Any]) -> None:
        stripper, delta = self._stripper(choice["index"]), choice["delta"]
        text = stripper.feed(delta["content"]) if delta.get("content") else ""
        if choice["finish_reason"] is not None or delta.get("tool_calls"):
            text += stripper.end()
        if text or delta.get("content"):
            delta["content"] = text

    def _knows(self) -> bool:
        return any(stripper.found is not None for stripper in self._strippers.values())

    def _release(self) -> list[ChatObject]:
        """Return the chunks held so far, without those that the marker's removal has emptied."""
        self._is_decided = True
        first, *others = self._held
        self._held = []
        return [self._marked(first), *(chunk for chunk in others if not _is_empty(chunk))]

    def _marked(self, answer: ChatObject) -> ChatObject:
        notice = self._standing
        if self._out_of_domain is not None and any(stripper.found for stripper in self._strippers.values()):
            notice = {"code": self._out_of_domain.code, "message": self._out_of_domain.message}
        return {**answer, "notice": notice} if notice else answer

    def _stripper(self, index: int) -> MarkerStripper:
        assert self._out_of_domain is not None  # its callers looked  # noqa: S101
        return self._strippers.setdefault(index, MarkerStripper(self._out_of_domain))


def _has_system_message(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(message.get("role") in ("system", "developer") for message in messages)


def _is_empty(chunk: ChatObject) -> bool:
    """Whether a chunk's every delta is an empty text and nothing else."""
    return bool(chunk["choices"]) and all(
        choice["delta"] == {"content": ""} and choice["finish_reason"] is None for choice in chunk["choices"]
    )
