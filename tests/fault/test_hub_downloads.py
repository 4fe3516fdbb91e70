"""Downloads from a loopback Hugging Face: whole, cut, gated, wrong, twice at once, a full disk, no network."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from servicekit.engines.hub_download import Patience, download, fetch_at_start
from servicekit.engines.hub_progress import Progress, bar, part_file, running_downloads
from servicekit.engines.hub_reference import HubReference
from servicekit.errors import (
    ConfigurationError,
    InternalError,
    NotFoundError,
    ServiceError,
    UpstreamAuthError,
    UpstreamBadResponseError,
)
from servicekit.http.client import HttpClient
from tests.support.hub import FILE, REPOSITORY, TOKEN, Hub, reference, serving_hub

CONTENT = random.Random(1).randbytes(1_500_000)
QUICK = Patience(tries=3, first_wait_seconds=0.01)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "megaservice" / "models"


async def fetched(hub: Hub, wanted: HubReference | None = None, **variables: str) -> list[Progress]:
    """Return the moments of one download."""
    given = {"HF_ENDPOINT": hub.url, **variables}
    async with HttpClient() as client, aclosing(download(wanted or reference(), client, given, QUICK)) as moments:
        return [moment async for moment in moments]


def left(cache: Path) -> list[str]:
    """Return the names of the files in the cache, without locks."""
    return sorted(path.name for path in cache.glob("**/*") if path.is_file() and path.suffix != ".lock")


async def test_a_file_is_fetched_once_and_its_progress_told(cache: Path) -> None:
    """Under its name only when it is whole; the second time nobody is asked."""
    async with serving_hub(Hub(CONTENT)) as hub:
        moments = await fetched(hub)
        asked = len(hub.server.requests)
        assert await fetched(hub) == []
        assert len(hub.server.requests) == asked
    assert await asyncio.to_thread(reference().path.read_bytes) == CONTENT
    assert left(cache) == [FILE]
    assert moments[0].status == "asking Hugging Face"
    assert [moment.status for moment in moments[-2:]] == ["downloading", "verifying"]
    assert (moments[-1].completed, moments[-1].total) == (len(CONTENT), len(CONTENT))
    assert moments[-1].sha256 == hashlib.sha256(CONTENT).hexdigest()


async def test_a_quantization_names_the_file(cache: Path) -> None:
    """As after llama.cpp's -hf; Q4_K_M unless said otherwise."""
    wanted = HubReference.parse(f"hf.co/{REPOSITORY}")
    async with serving_hub(Hub(CONTENT)) as hub:
        await fetched(hub, wanted)
        with pytest.raises(NotFoundError, match=r"no file with the quantization Q2_K\. Its GGUF files: tiny-q4_k_m"):
            await fetched(hub, HubReference.parse(f"hf:{REPOSITORY}:Q2_K"))
    assert left(cache) == ["Tiny-GGUF-Q4_K_M.gguf"]


async def test_the_token_goes_to_the_hub_and_not_to_its_storage() -> None:
    """A redirect leads to another host, which has no business with it."""
    async with serving_hub(Hub(CONTENT, is_gated=True)) as hub:
        await fetched(hub, HF_TOKEN=TOKEN)
        hosts = {request.headers["host"]: "authorization" in request.headers for request in hub.server.requests}
        assert hosts == {f"127.0.0.1:{hub.server.port}": True, f"localhost:{hub.server.port}": False}


async def test_a_cut_download_goes_on_where_it_was(cache: Path) -> None:
    """In the same try, and in the next start after it was given up."""
    async with serving_hub(Hub(CONTENT, cuts_after=[400_000, 300_000])) as hub:
        await fetched(hub)
        assert hub.fetches == ["", "bytes=400000-", "bytes=700000-"]
    assert await asyncio.to_thread(reference().path.read_bytes) == CONTENT


async def test_a_download_that_is_given_up_is_kept_for_the_next_start(cache: Path) -> None:
    """Three tries that bring nothing end it; the part stays."""
    async with serving_hub(Hub(CONTENT, cuts_after=[500_000, 0, 0, 0])) as hub:
        with pytest.raises(UpstreamBadResponseError):
            await fetched(hub)
        (part,) = left(cache)
        assert part.startswith(f"{FILE}.") and part.endswith(".1500000.part")  # noqa: PT018
        assert (await asyncio.to_thread(running_downloads))[FILE] == Progress("downloading", 500_000, 1_500_000)
        await fetched(hub)
        assert hub.fetches[-1] == "bytes=500000-"
    assert await asyncio.to_thread(reference().path.read_bytes) == CONTENT


async def test_a_server_without_ranges_begins_anew(cache: Path) -> None:
    """A 200 to a request for a part is the whole file."""
    async with serving_hub(Hub(CONTENT, cuts_after=[400_000], has_ranges=False)) as hub:
        await fetched(hub)
    assert await asyncio.to_thread(reference().path.read_bytes) == CONTENT


async def test_a_part_of_another_version_is_not_gone_on_with(cache: Path) -> None:
    """Its name says which file it is a part of."""
    old = part_file(reference().path, "0" * 64, 99)
    await asyncio.to_thread(old.parent.mkdir, parents=True)
    await asyncio.to_thread(old.write_bytes, b"old")
    async with serving_hub(Hub(CONTENT)) as hub:
        await fetched(hub)
        assert hub.fetches == [""]
    assert left(cache) == [FILE]


async def test_a_wrong_checksum_leaves_nothing(cache: Path) -> None:
    """Whatever came is thrown away, and the message has both sums."""
    async with serving_hub(Hub(CONTENT, sha256="a" * 64)) as hub:
        with pytest.raises(UpstreamBadResponseError, match=f"not what was announced: .* with {'a' * 64}"):
            await fetched(hub)
    assert left(cache) == []


async def test_the_configured_checksum_counts(cache: Path) -> None:
    """Against the hub's word before anything is fetched, and where the hub says nothing."""
    async with serving_hub(Hub(CONTENT)) as hub:
        with pytest.raises(UpstreamBadResponseError, match=r"but models\.json wants bbb"):
            await fetched(hub, reference(sha256="b" * 64))
        assert hub.fetches == []
        hub.tells_checksum = False
        with pytest.raises(UpstreamBadResponseError, match="thrown away"):
            await fetched(hub, reference(sha256="b" * 64))
        await fetched(hub, reference(sha256=hashlib.sha256(CONTENT).hexdigest()))
    assert left(cache) == [FILE]


async def test_a_gated_model_says_how_to_get_in() -> None:
    """Where its terms are, and which variable is missing or has no right."""
    async with serving_hub(Hub(CONTENT, is_gated=True)) as hub:
        with pytest.raises(UpstreamAuthError, match=rf"accept its terms at {hub.url}/{REPOSITORY}; set HF_TOKEN"):
            await fetched(hub)
        with pytest.raises(UpstreamAuthError, match="HF_TOKEN's account has no access") as caught:
            await fetched(hub, HF_TOKEN="hf_other_token_4567")
    assert "hf_other" not in caught.value.message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (f"hf:{REPOSITORY}/typo.gguf", r"has no typo\.gguf\. Its GGUF files: tiny-q4_k_m\.gguf, tiny-q8_0\.gguf\."),
        ("hf:maker/Typo-GGUF/tiny.gguf", r"no repository at .*/maker/Typo-GGUF, or it is private"),
    ],
)
async def test_a_wrong_name_says_what_there_is(model: str, words: str) -> None:
    """Nothing is tried again."""
    async with serving_hub(Hub(CONTENT)) as hub:
        with pytest.raises(NotFoundError, match=words):
            await fetched(hub, HubReference.parse(model))


async def test_two_at_once_fetch_once(cache: Path) -> None:
    """The second one waits, sees how far the first one is, and finds the file."""
    async with serving_hub(Hub(CONTENT)) as hub:
        async with HttpClient() as client, aclosing(download(reference(), client, {"HF_ENDPOINT": hub.url})) as first:
            await anext(first)  # it has the lock
            second = asyncio.create_task(fetched(hub))
            await asyncio.sleep(0.1)
            async for _ in first:
                pass
            moments = await second
        assert hub.fetches == [""]
    assert {moment.status for moment in moments} == {"waiting for the process that downloads it:"}


async def test_who_leaves_frees_the_lock(cache: Path) -> None:
    """A cancelled pull does not keep the next one waiting."""
    async with serving_hub(Hub(CONTENT)) as hub:
        async with HttpClient() as client:
            first = download(reference(), client, {"HF_ENDPOINT": hub.url})
            await anext(first)
            await first.aclose()
        await fetched(hub)
    assert left(cache) == [FILE]


async def test_no_network_says_what_to_do(refused_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a start: one message with the place for the file, and exit code 2."""
    monkeypatch.setenv("HF_ENDPOINT", refused_url)
    async with HttpClient() as client:
        with pytest.raises(ConfigurationError, match="cannot be reached") as caught:
            await fetch_at_start(reference(), client)
    assert f"fetch the file elsewhere, put it at {reference().path}, or write its path" in str(caught.value)
    assert "Is there a network here, and does HF_ENDPOINT, if set, name a hub?" in str(caught.value)
    assert "Is it running" not in str(caught.value)


async def test_the_password_of_a_mirror_is_not_told(refused_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is out of reach, and of one that has no such file."""
    monkeypatch.setenv("HF_ENDPOINT", refused_url.replace("://", "://user:hidden@"))
    async with HttpClient() as client:
        with pytest.raises(ConfigurationError, match=r"at http://\*\*\*@127") as caught:
            await fetch_at_start(reference(), client)
    assert "hidden" not in str(caught.value)
    async with serving_hub(Hub(CONTENT)) as hub:
        with pytest.raises(NotFoundError, match=r"^http://\*\*\*@127.* has no nothing\.gguf") as missing:
            await fetched(hub, reference("nothing.gguf"), HF_ENDPOINT=hub.url.replace("://", "://user:hidden@"))
    assert "hidden" not in missing.value.message


async def test_the_key_in_a_storage_s_address_is_not_told(cache: Path) -> None:
    """Redirects lead to signed addresses."""
    hub = Hub(CONTENT, cuts_after=[0] * 9)
    async with serving_hub(hub):
        with pytest.raises(ServiceError) as caught:
            await fetched(hub)
    assert "secret" not in caught.value.message


async def test_a_file_that_is_larger_than_the_disk_is_not_begun() -> None:
    """The message has both numbers."""
    async with serving_hub(Hub(CONTENT, announced=10**18)) as hub:
        with pytest.raises(InternalError, match=r"needs 1000000000000 MB, but .* has only \d+ MB left"):
            await fetched(hub)
        assert hub.fetches == []


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_fills_up_keeps_what_came(cache: Path) -> None:
    """A write that fails is one clear error; with room again the download goes on."""
    async with serving_hub(Hub(CONTENT)) as hub:
        with files_limited_to(600_000), pytest.raises(InternalError, match=r"disk of .* is full\. Make room"):
            await fetched(hub)
        await fetched(hub)
        assert hub.fetches[-1].startswith("bytes=")
    assert await asyncio.to_thread(reference().path.read_bytes) == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """Another folder is the remedy."""
    await asyncio.to_thread(tmp_path.chmod, 0o500)
    async with serving_hub(Hub(CONTENT)) as hub:
        with pytest.raises(InternalError, match="Set XDG_CACHE_HOME"):
            await fetched(hub)


def test_a_bar_shows_share_and_sizes() -> None:
    """What a terminal gets."""
    assert bar("m.gguf", Progress("downloading", 50_000_000, 100_000_000)) == (
        "m.gguf [###############...............] 50 of 100 MB (50 %)"
    )
