"""The texts of a pipeline file that have a form: URLs, paths, names. Each check says what to write instead."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

_PATH = re.compile(r"/[^\s?#{}]*")
_PIPELINE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Addresses to listen on.
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # refused, not bound
#: The gateway's own routes; pipelines cannot have them.
_OWN_PATHS = frozenset(
    {
        *("/health", "/healthz", "/ready", "/metrics", "/docs", "/redoc", "/openapi.json", "/models", "/chat"),
        *("/v1/models", "/v1/pipelines", "/v1/health_check", "/v1/statistics", "/v1/list_service"),
        "/v1/list_parameters",
    }
)
_OWN_FOLDERS = ("/docs/", "/v1/models/", "/v1/pipelines/")


def is_own_route(path: str) -> bool:
    """Return whether the gateway itself answers at this path."""
    return path.rstrip("/") in _OWN_PATHS or path.startswith(_OWN_FOLDERS)


def _target(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        raise ValueError(f"'{url}' is no URL; write one such as http://host:port/path.")
    if parts.hostname in _ANY_ADDRESS:
        address = parts.hostname
        raise ValueError(f"{address} is an address to listen on, not one to call; write 127.0.0.1 or the host.")
    return url


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ValueError(f"'{url}' is no URL ({exc}); write one such as http://host:port/path.") from exc
    try:
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable and parts.scheme in ("http", "https"):
        raise ValueError(f"'{url}' has no port from 1 to 65535; write one such as http://host:8000/path.")
    return parts


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"'{path}' is no path; write '/{path}'.")
    if not _PATH.fullmatch(path):
        raise ValueError(f"'{path}' is no path; write one such as '/v1/chat', without spaces, '?', '#', '{{' and '}}'.")
    if is_own_route(path):
        raise ValueError(f"'{path}' cannot be taken: that is a route of the gateway itself; choose another path.")
    return path


def _pipeline_name(name: str) -> str:
    if not _PIPELINE_NAME.fullmatch(name):
        like = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "my-pipeline"
        raise ValueError(
            f"'{name}' is no pipeline's name: lower-case letters and digits, joined by '-'; write '{like}'."
        )
    return name


def _field_name(name: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        like = re.sub(r"\W+", "_", name, flags=re.ASCII).lstrip("0123456789") or "grade"
        raise ValueError(f"'{name}' is no field's name: letters, digits and '_', no digit first; write '{like}'.")
    return name


#: A URL that can be called.
Url = Annotated[str, AfterValidator(_target)]
#: A path of the gateway at which a pipeline can be.
EndpointPath = Annotated[str, AfterValidator(_path)]
#: What a pipeline is called.
PipelineName = Annotated[str, AfterValidator(_pipeline_name)]
#: A field of the answer.
FieldName = Annotated[str, AfterValidator(_field_name)]
