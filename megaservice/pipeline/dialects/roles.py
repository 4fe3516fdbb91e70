"""What OPEA's services are called and where they listen: the files of its deployments name services, not kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from megaservice.pipeline.spec import ServiceKind


@dataclass(frozen=True, slots=True)
class Role:
    """A service's part in a pipeline.

    Attributes:
        kind: What it speaks.
        path: Where OPEA's service of this part listens.
    """

    kind: ServiceKind
    path: str


#: Parts of services' names, the telling ones first: a "guardrails-llm" guards.
_WORDS = {
    "grade": Role(ServiceKind.GRADER, "/v1/grade"),
    "guard": Role(ServiceKind.TEXT, "/v1/guardrails"),
    "embed": Role(ServiceKind.TEXT, "/v1/embeddings"),
    "rerank": Role(ServiceKind.TEXT, "/v1/reranking"),
    "raranking": Role(ServiceKind.TEXT, "/v1/reranking"),  # so it is spelt in OPEA's sample
    "retriev": Role(ServiceKind.TEXT, "/v1/retrieval"),
    "asr": Role(ServiceKind.TEXT, "/v1/audio/transcriptions"),
    "whisper": Role(ServiceKind.TEXT, "/v1/asr"),
    "tts": Role(ServiceKind.TEXT, "/v1/audio/speech"),
    "speech": Role(ServiceKind.TEXT, "/v1/audio/speech"),
    "docsum": Role(ServiceKind.TEXT, "/v1/docsum"),
    "llm": Role(ServiceKind.LLM, "/v1/chat/completions"),
    "chat": Role(ServiceKind.LLM, "/v1/chat/completions"),
    "tgi": Role(ServiceKind.LLM, "/v1/chat/completions"),
}
_BY_KIND = {
    ServiceKind.LLM: Role(ServiceKind.LLM, "/v1/chat/completions"),
    ServiceKind.GRADER: Role(ServiceKind.GRADER, "/v1/grade"),
}


def role_of(name: str) -> Role:
    """Return the part of a service: as its name's first word says if that is a kind, else as some part of it does."""
    first, *rest = re.split(r"[^a-z0-9]+", name.lower().strip("_-./ "), maxsplit=1)
    if rest and first in list(ServiceKind):
        kind = ServiceKind(first)
        inner = role_of(rest[0])
        return inner if inner.kind is kind else role_of_kind(kind)
    for word, role in _WORDS.items():
        if word in name.lower():
            return role
    return role_of_kind(ServiceKind.TEXT)


def role_of_kind(kind: ServiceKind) -> Role:
    """Return the part that a kind plays where nothing else is known."""
    return _BY_KIND.get(kind, Role(kind, f"/v1/{kind}"))


def role_at(path: str) -> Role | None:
    """Return the part that listens at a path."""
    return next((role for role in _WORDS.values() if role.path == path), None)
