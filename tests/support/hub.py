"""A loopback Hugging Face: redirects to a storage, checksums in headers, ranges, gates, and all it can do wrong."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from servicekit.engines.hub_reference import HubReference
from tests.support.scripted_upstream import Reply, ScriptedUpstream
from tests.support.scripts import encode_answer

REPOSITORY = "maker/Tiny-GGUF"
FILE = "tiny-q4_k_m.gguf"
TOKEN = "hf_planted_token_0123"
_BLOCK_BYTES = 64 * 1024


@dataclass
class Hub:
    """What the hub has and how it behaves.

    Attributes:
        content: The file's bytes.
        cuts_after: The storage breaks off each answer after so many bytes, while there are any left in this list.
        sha256: What its headers say of the file.
        is_gated: Whether it wants a token.
        tells_checksum: Whether its headers say a checksum at all.
        has_ranges: Whether the storage goes on where it is asked to.
        announced: The size that the headers tell; the true one if None.
        pause_seconds: After each block of 64 KiB.
        files: The names in its list.
        url: Its address.
        server: What plays it.
    """

    content: bytes
    cuts_after: list[int] = field(default_factory=list)
    sha256: str = ""
    is_gated: bool = False
    tells_checksum: bool = True
    has_ranges: bool = True
    announced: int | None = None
    pause_seconds: float = 0.0
    files: tuple[str, ...] = (FILE, "tiny-q8_0.gguf", "README.md")
    url: str = ""
    server: ScriptedUpstream = field(init=False)

    async def play(self, reply: Reply) -> None:
        """Answer one request."""
        path = reply.request.path.partition("?")[0]
        if path == f"/{REPOSITORY}/resolve/main/{FILE}":
            await self._resolve(reply)
        elif path == "/storage":
            await self._store(reply)
        elif path == f"/api/models/{REPOSITORY}/revision/main":
            listing = {"siblings": [{"rfilename": name} for name in self.files]}
            await reply.write(encode_answer(200, listing))
        elif path.startswith(f"/{REPOSITORY}/"):
            await reply.write(encode_answer(404, "", headers={"x-error-code": "EntryNotFound"}))
        else:
            await reply.write(encode_answer(401, "", headers={"x-error-code": "RepoNotFound"}))

    async def _resolve(self, reply: Reply) -> None:
        if self.is_gated and reply.request.headers.get("authorization") != f"Bearer {TOKEN}":
            await reply.write(encode_answer(401, "", headers={"x-error-code": "GatedRepo"}))
            return
        digest = self.sha256 or hashlib.sha256(self.content).hexdigest()
        size = len(self.content) if self.announced is None else self.announced
        headers = {"location": f"{self.url.replace('127.0.0.1', 'localhost')}/storage?X-Signature=secret"}
        headers |= {"x-linked-etag": f'"{digest}"', "x-linked-size": str(size)} if self.tells_checksum else {}
        await reply.write(encode_answer(302, "", headers=headers))

    async def _store(self, reply: Reply) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", reply.request.headers.get("range", ""))
        start = int(found[1]) if found and self.has_ranges else 0
        body = self.content[start:]
        lines = [f"HTTP/1.1 {206 if start else 200} OK", f"content-length: {len(body)}", 'etag: "storage"']
        if start:
            lines.append(f"content-range: bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        await reply.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        stop = self.cuts_after.pop(0) if self.cuts_after else len(body)
        for offset in range(0, min(stop, len(body)), _BLOCK_BYTES):
            await reply.write(body[offset : min(offset + _BLOCK_BYTES, stop)])
            await asyncio.sleep(self.pause_seconds)
        if stop < len(body):
            reply.cut()

    @property
    def fetches(self) -> list[str]:
        """The ranges that the storage was asked for; empty for the whole file."""
        asked = [request for request in self.server.requests if request.path.startswith("/storage")]
        return [request.headers.get("range", "") for request in asked]


@asynccontextmanager
async def serving_hub(hub: Hub) -> AsyncIterator[Hub]:
    """Serve it, and fill in its address."""
    async with ScriptedUpstream(hub.play) as hub.server:
        hub.url = hub.server.url
        yield hub


def reference(file: str = FILE, sha256: str | None = None) -> HubReference:
    """Return the name of a file of the hub."""
    return HubReference.parse(f"hf:{REPOSITORY}/{file}", sha256=sha256)
