"""Fetches a GGUF file into the user's cache: whole or not at all, by one process at a time, from where it stopped.

The bytes grow in a part file, which a later try goes on with; the whole file gets its name only after its checksum was
right. A lock file keeps the LLM service and the grader, which start together, from fetching the same file twice.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from servicekit.engines.hub_client import HubClient, HubFile
from servicekit.engines.hub_progress import Progress, ProgressReport, megabytes, part_file
from servicekit.engines.hub_reference import HubReference
from servicekit.environment import read_variables
from servicekit.errors import (
    ConfigurationError,
    InternalError,
    NotFoundError,
    RateLimitedError,
    ServiceError,
    UpstreamAuthError,
    UpstreamBadResponseError,
    UpstreamUnreachableError,
)
from servicekit.http.client import HttpClient, UpstreamResponse

_log = logging.getLogger(__name__)

#: Written at once, so that a fast line does not cost a thread's hand-over for every packet.
_BLOCK_BYTES = 4 * 1024 * 1024
_HASH_BYTES = 16 * 1024 * 1024
_TELL_SECONDS = 0.2
_LOCK_POLL_SECONDS = 0.25
#: Tries that bring nothing before it is given up, and the first wait between two of them, doubled each time.
_TRIES = 5
_FIRST_WAIT_SECONDS = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a broken download is tried again; see `_TRIES`."""

    tries: int = _TRIES
    first_wait_seconds: float = _FIRST_WAIT_SECONDS


async def download(
    reference: HubReference,
    client: HttpClient,
    variables: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> AsyncGenerator[Progress]:
    """Fetch a file unless it is there, and tell how far it is several times a second.

    Args:
        reference: What to fetch; it will be at `reference.path`.
        client: The process's HTTP client.
        variables: Of the process: HF_ENDPOINT, HF_TOKEN; read anew if absent.
        patience: With a hub that breaks off.

    Raises:
        NotFoundError: There is no such file.
        UpstreamAuthError: It is gated or private.
        UpstreamBadResponseError: What came has another checksum; nothing is kept.
        InternalError: The disk is full, or the cache cannot be written.
        ServiceError: The hub cannot be reached, or failed again and again; the part that came is kept.
    """
    if await asyncio.to_thread(reference.path.is_file):
        return
    given = await asyncio.to_thread(read_variables) if variables is None else variables
    work = _Download(reference, HubClient(client, reference, given), patience or Patience())
    try:
        async with aclosing(work.run()) as moments:
            async for moment in moments:
                yield moment
    except OSError as exc:
        raise _disk_error(exc, reference.path) from exc


async def fetch_at_start(reference: HubReference, client: HttpClient) -> None:
    """Fetch a file while a service starts; the terminal or the log shows how far it is.

    Raises:
        ConfigurationError: It cannot be had; the message says how to do without.
    """
    path = reference.path
    if await asyncio.to_thread(path.is_file):
        return
    _log.info("model %s is fetched from Hugging Face into %s", reference, path)
    report = ProgressReport(path.name)
    try:
        async with aclosing(download(reference, client)) as moments:
            async for moment in moments:
                report.show(moment)
    except ServiceError as exc:
        raise ConfigurationError(f"Model {reference}: {exc.message}{without_network(exc, reference)}") from exc
    finally:
        report.end()
    _log.info("model %s is there: %s", reference, path)


def without_network(error: ServiceError, reference: HubReference) -> str:
    """Return what else can be done where the hub is out of reach; nothing for other failures."""
    if not _may_pass(error):
        return ""
    return (
        f" Without a network: fetch the file elsewhere, put it at {reference.path}, or write its path as the alias's "
        "model. A start goes on where this one stopped."
    )


class _Download:
    """One file on its way."""

    def __init__(self, reference: HubReference, hub: HubClient, patience: Patience) -> None:
        self._reference = reference
        self._path = reference.path
        self._hub = hub
        self._patience = patience

    async def run(self) -> AsyncGenerator[Progress]:
        """Fetch the file, once whoever fetches it already is done."""
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        lock = _FileLock(self._path.with_name(self._path.name + ".lock"))
        try:
            while not await asyncio.to_thread(lock.acquire):
                yield await asyncio.to_thread(self._progress_of_others)
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            if not await asyncio.to_thread(self._path.is_file):
                async with aclosing(self._fetch()) as moments:
                    async for moment in moments:
                        yield moment
        finally:
            lock.release()

    async def _fetch(self) -> AsyncGenerator[Progress]:
        yield Progress("asking Hugging Face")
        file = await self._find()
        part = part_file(self._path, file.sha256, file.size_bytes)
        await asyncio.to_thread(self._make_room, part, file)
        waits, wait = 0, self._patience.first_wait_seconds
        while True:
            before = await asyncio.to_thread(_size_of, part)
            try:
                async with aclosing(self._grow(part, file)) as moments:
                    async for moment in moments:
                        yield moment
                break
            except ServiceError as exc:
                has_grown = await asyncio.to_thread(_size_of, part) > before
                waits, wait = (0, self._patience.first_wait_seconds) if has_grown else (waits + 1, wait * 2)
                if not _may_pass(exc) or waits >= self._patience.tries:
                    raise
                _log.warning("%s; trying again in %.0f s", exc.message.rstrip("."), wait)
                yield Progress("waiting for Hugging Face", before, file.size_bytes, file.sha256)
                await asyncio.sleep(wait)
        yield Progress("verifying", file.size_bytes or 0, file.size_bytes, file.sha256)
        await asyncio.to_thread(self._accept, part, file)

    async def _find(self) -> HubFile:
        file = await self._hub.find()
        wanted = self._reference.sha256
        if wanted and file.sha256 and wanted != file.sha256:
            raise UpstreamBadResponseError(
                f"Hugging Face's {self._reference} has the sha256 {file.sha256}, but models.json wants {wanted}. "
                "Correct one of sha256 and revision."
            )
        if wanted is None and file.sha256 is None:
            _log.warning("%s: the hub tells no checksum; only the size is compared", self._reference)
        return HubFile(file.name, file.url, file.size_bytes, wanted or file.sha256)

    def _make_room(self, part: Path, file: HubFile) -> None:
        """Remove what is left of other versions, and see that the disk has room."""
        for other in part.parent.glob(f"{self._path.name}.*.part"):
            if other != part:
                other.unlink(missing_ok=True)
        needed = (file.size_bytes or 0) - _size_of(part)
        free = shutil.disk_usage(part.parent).free
        if needed > free:
            raise InternalError(
                f"{self._reference} needs {megabytes(needed)} MB, but {part.parent} has only {megabytes(free)} MB "
                "left. Make room, or set XDG_CACHE_HOME to a folder on another disk."
            )

    async def _grow(self, part: Path, file: HubFile) -> AsyncGenerator[Progress]:
        """Add to the part file what is missing."""
        start = await asyncio.to_thread(_size_of, part)
        if file.size_bytes is not None and start == file.size_bytes:
            return
        async with self._hub.read(file, start) as response:
            if start and not _continues_at(response, start):
                await asyncio.to_thread(os.truncate, part, 0)
                start = 0
            if response.status == 416:  # the part was longer than the file; it begins anew
                raise UpstreamBadResponseError("Hugging Face has no such part of the file.", retryable=True)
            output = await asyncio.to_thread(part.open, "ab")
            try:
                async with aclosing(_written(response, output, start)) as sizes:
                    async for size in sizes:
                        yield Progress("downloading", size, file.size_bytes, file.sha256)
            finally:
                await asyncio.to_thread(output.close)
        if file.size_bytes is not None and await asyncio.to_thread(_size_of, part) < file.size_bytes:
            raise UpstreamBadResponseError("Hugging Face closed the connection in mid-file.", retryable=True)

    def _accept(self, part: Path, file: HubFile) -> None:
        """Give the file its name if it is what it should be; else throw it away."""
        size = _size_of(part)
        found = _sha256_of(part) if file.sha256 else None
        if found == file.sha256 and file.size_bytes in (None, size):
            part.replace(self._path)
            return
        part.unlink()
        what = f"{size} bytes with the sha256 {found}" if found else f"{size} bytes"
        raise UpstreamBadResponseError(
            f"What came for {self._reference} is not what was announced: {what}, not {file.size_bytes} bytes with "
            f"{file.sha256}. It was thrown away. Try again; if it stays so, something on the way changes it."
        )

    def _progress_of_others(self) -> Progress:
        for part in self._path.parent.glob(f"{self._path.name}.*.part"):
            total = part.name.rsplit(".", 2)[1]
            return Progress("waiting for the process that downloads it:", _size_of(part), int(total) or None)
        return Progress("waiting for the process that downloads it:")


async def _written(response: UpstreamResponse, output: BinaryIO, start: int) -> AsyncGenerator[int]:
    """Write a body to a file; yield its size now and then. What came before a failure is written, too."""
    size, told, waiting = start, 0.0, bytearray()
    try:
        async with aclosing(response.iter_bytes()) as reads:
            async for data in reads:
                waiting += data
                size += len(data)
                now = time.monotonic()
                if len(waiting) >= _BLOCK_BYTES or now - told > _TELL_SECONDS:
                    block, waiting = waiting, bytearray()
                    await asyncio.to_thread(output.write, block)
                    await asyncio.to_thread(output.flush)
                    told = now
                    yield size
    finally:
        await asyncio.to_thread(output.write, waiting)
    yield size


class _FileLock:
    """Held by at most one process; the kernel frees it when that process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Take it if it is free."""
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Free it if it was taken."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _may_pass(error: ServiceError) -> bool:
    """Whether the next try may do better."""
    if isinstance(error, NotFoundError | UpstreamAuthError | RateLimitedError):
        return False
    return error.retryable or isinstance(error, UpstreamUnreachableError)


def _continues_at(response: UpstreamResponse, start: int) -> bool:
    return response.status == 206 and response.headers.get("content-range", "").startswith(f"bytes {start}-")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _disk_error(exc: OSError, path: Path) -> InternalError:
    if exc.errno in _FULL:
        reason = f"The disk of {path.parent} is full. Make room, or set XDG_CACHE_HOME to a folder on another disk."
    else:
        reason = f"{path.parent} cannot be written ({exc.strerror}). Set XDG_CACHE_HOME to a folder of yours."
    return InternalError(f"{reason} What came so far is kept.")
