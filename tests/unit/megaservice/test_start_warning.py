"""What the gateway's log says of nodes that are not there."""

from __future__ import annotations

import asyncio

import pytest

from megaservice.start_warning import warning_of_absent_nodes


async def test_absent_nodes_are_told_of_once_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """One line each; whoever stops before is not kept waiting."""

    async def problems() -> list[str]:
        return ["node 'llm' at http://x cannot be reached"]

    async with warning_of_absent_nodes(problems, after_seconds=0.01):
        assert caplog.messages == []
        await asyncio.sleep(0.1)
    async with asyncio.timeout(1), warning_of_absent_nodes(problems, after_seconds=60):
        pass
    assert caplog.messages == ["node 'llm' at http://x cannot be reached"]
