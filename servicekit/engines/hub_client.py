"""Asks Hugging Face for a file: what it is called, how large it is, which checksum it has, and its bytes.

The hub answers `GET /<repository>/resolve/<revision>/<file>` with a redirect to its storage; the redirect's headers
`x-linked-size` and `x-linked-etag` (the SHA-256 of large files) describe the file.
Source: https://huggingface.co/docs/hub/api and huggingface_hub's `file_download.py`. That library itself is installed
with LiteLLM only, blocks a thread that cannot be cancelled, and would be a second HTTP client with other limits.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urljoin, urlsplit

import orjson

from servicekit.engines.hub_reference import HubReference, is_part_of_several
from servicekit.errors import (
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    ServiceError,
    UpstreamAuthError,
    UpstreamBadResponseError,
    UpstreamError,
)
from servicekit.http.client import HttpClient, Target, Timeouts, UpstreamResponse
from servicekit.secret_mask import known_secrets

_HUB_URL = "https://huggingface.co"
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_SHA256 = re.compile("[0-9a-f]{64}")
_SHOWN_FILES = 8
#: Files are large and lines slow: only silence ends a download.
DOWNLOAD_TIMEOUTS = Timeouts(
    connect_seconds=10.0, first_byte_seconds=30.0, idle_seconds=30.0, total_seconds=7 * 24 * 3600.0
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the hub.

    Attributes:
        name: Its path in the repository.
        url: Where it is asked for.
        size_bytes: None if the hub does not say.
        sha256: None if the hub does not say.
    """

    name: str
    url: str
    size_bytes: int | None
    sha256: str | None


class _HubTarget(Target):
    """Shown without its query: in a storage's address that is a key."""

    __slots__ = ()

    #: The hub runs. `hub_download.without_network` goes on with where to put a file that was fetched elsewhere.
    unreachable_remedy: ClassVar[str] = "Is there a network here, and does HF_ENDPOINT, if set, name a hub?"

    def __str__(self) -> str:
        return known_secrets().masked(f"{self.name} at {self.url.partition('?')[0]}")


class HubClient:
    """One repository at one revision.

    Args:
        client: The process's HTTP client.
        reference: What is wanted.
        variables: `HF_ENDPOINT` names another hub, `HF_TOKEN` opens what is gated or private.
        timeouts: Of each call.
    """

    def __init__(
        self,
        client: HttpClient,
        reference: HubReference,
        variables: Mapping[str, str],
        timeouts: Timeouts = DOWNLOAD_TIMEOUTS,
    ) -> None:
        self._client = client
        self._reference = reference
        self._hub = variables.get("HF_ENDPOINT", _HUB_URL).rstrip("/")
        self._shown_hub = known_secrets().masked(self._hub)
        self._token = variables.get("HF_TOKEN")
        self._timeouts = timeouts

    async def find(self) -> HubFile:
        """Return the file that is meant.

        Raises:
            NotFoundError: No such repository, revision or file.
            UpstreamAuthError: It is gated or private; the message says how to get in.
            ServiceError: The hub cannot be reached, or failed.
        """
        name = self._reference.choose([] if self._reference.file else await self._files())
        if name is None:
            raise NotFoundError(await self._no_such_file())
        if is_part_of_several(name):
            raise InvalidRequestError(f"{self._reference} is in several parts; only models of one file can be fetched.")
        url = f"{self._hub}/{self._reference.repository}/resolve/{self._reference.revision}/{quote(name)}"
        headers: dict[str, str] = {}
        async with self._open(url, {}, headers, stops_at="x-linked-etag"):
            tag = headers.get("x-linked-etag") or headers.get("etag", "")
            size = headers.get("x-linked-size") or headers.get("content-length", "")
            checksum = tag.removeprefix("W/").strip('"').lower()
            return HubFile(
                name, url, int(size) if size.isdigit() else None, checksum if _SHA256.fullmatch(checksum) else None
            )

    @asynccontextmanager
    async def read(self, file: HubFile, start_bytes: int) -> AsyncIterator[UpstreamResponse]:
        """Open a file from some byte on; the answer is a 206, or a 200 with all of it. Raises as `find` does."""
        wanted = {"range": f"bytes={start_bytes}-"} if start_bytes else {}
        async with self._open(file.url, wanted, {}) as response:
            yield response

    @asynccontextmanager
    async def _open(
        self, url: str, headers: Mapping[str, str], seen: dict[str, str], stops_at: str | None = None
    ) -> AsyncIterator[UpstreamResponse]:
        """Follow redirects to an answer that is none.

        The token goes to the hub's own host alone.

        Args:
            url: Where to begin.
            headers: Sent everywhere.
            seen: Gets the headers of every answer on the way.
            stops_at: A header whose redirect is not followed, since what was asked for is known.
        """
        for _ in range(_MOST_REDIRECTS):
            target = _HubTarget("Hugging Face", url)
            sent = {"accept-encoding": "identity", "user-agent": "megaservice", **headers, **self._authorization(url)}
            async with self._client.open("GET", target, headers=sent, timeouts=self._timeouts) as response:
                seen.update(response.headers)
                location = response.headers.get("location")
                if response.status in _REDIRECTS and location and stops_at not in response.headers:
                    url = urljoin(url, location)
                    continue
                if response.status >= 400 and response.status != 416:
                    raise await self._error(response, url)
                yield response
                return
        raise UpstreamBadResponseError(
            f"Hugging Face redirects more than {_MOST_REDIRECTS} times for {self._shown_hub}."
        )

    def _authorization(self, url: str) -> dict[str, str]:
        is_hub = urlsplit(url).netloc == urlsplit(self._hub).netloc
        return {"authorization": f"Bearer {self._token}"} if self._token and is_hub else {}

    async def _error(self, response: UpstreamResponse, url: str) -> ServiceError:
        """Read an error of the hub: https://github.com/huggingface/huggingface_hub, `hf_raise_for_status`."""
        reference, page = self._reference, f"{self._shown_hub}/{self._reference.repository}"
        reason = response.headers.get("x-error-code", "")
        if reason == "GatedRepo":
            key = "HF_TOKEN's account has no access to it" if self._token else "set HF_TOKEN to a token of yours"
            return UpstreamAuthError(f"{reference} is gated: accept its terms at {page}; {key}.")
        if response.status in (401, 403) or reason == "RepoNotFound":
            key = "HF_TOKEN may not read it" if self._token else "a private one needs HF_TOKEN"
            return NotFoundError(f"There is no repository at {page}, or it is private ({key}). Correct its name.")
        if reason == "RevisionNotFound":
            return NotFoundError(f"{page} has no revision '{reference.revision}'. Correct it in models.json.")
        if response.status == 404:
            return NotFoundError(await self._no_such_file())
        if response.status == 429:
            return RateLimitedError("Hugging Face lets nobody of this address fetch more now (429). Try again later.")
        target = _HubTarget("Hugging Face", url)
        return UpstreamError(f"{target} answered {response.status}.", retryable=response.status >= 500)

    async def _no_such_file(self) -> str:
        try:
            files = await self._files()
        except ServiceError:  # this only completes another error
            files = []
        some = ", ".join(files[:_SHOWN_FILES]) + (", ..." if len(files) > _SHOWN_FILES else "")
        there = f"Its GGUF files: {some}." if files else "It has no GGUF files."
        wanted = self._reference.file or f"file with the quantization {self._reference.quantization}"
        place = f"{self._shown_hub}/{self._reference.repository} (revision '{self._reference.revision}')"
        return f"{place} has no {wanted}. {there}"

    async def _files(self) -> list[str]:
        """Return the GGUF files of the repository."""
        url = f"{self._hub}/api/models/{self._reference.repository}/revision/{self._reference.revision}"
        async with self._open(url, {}, {}) as response:
            body = await response.read()
        try:
            names = [str(item["rfilename"]) for item in orjson.loads(body)["siblings"]]
        except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
            target = _HubTarget("Hugging Face's list of files", url)
            raise UpstreamBadResponseError(f"{target} cannot be read.") from exc
        return [name for name in names if name.lower().endswith(".gguf")]
