"""Pruning and merging do not depend on who finishes first: random graphs, in every order of completion."""

from __future__ import annotations

import asyncio
from typing import Any

from comps import MicroService, ServiceType
from comps.cores.proto.docarray import LLMParams
from hypothesis import given, settings
from hypothesis import strategies as st

from megaservice import ServiceOrchestrator
from megaservice.orchestration.readiness import BLACK_LIST, NodeStatus, pruned_downstreams, should_run
from tests.support.megaservices import remote
from tests.support.scripted_upstream import Reply, ScriptedUpstream
from tests.support.scripts import encode_answer

EXAMPLES = settings(max_examples=25, deadline=None)
NAMES = ("a", "b", "c", "d", "e")
PAIRS = [(first, second) for number, first in enumerate(NAMES) for second in NAMES[number + 1 :]]
#: Short, so that many graphs take little; different, so that nodes finish in any order.
DELAYS = st.lists(st.sampled_from([0.0, 0.002, 0.004]), min_size=len(NAMES), max_size=len(NAMES))


@given(
    statuses=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NodeStatus), min_size=1),
    pruned=st.sets(st.sampled_from(NAMES)),
    data=st.data(),
)
def test_node_runs_if_one_edge_is_live_in_every_order(
    statuses: dict[str, NodeStatus], pruned: set[str], data: st.DataObject
) -> None:
    """The order of the upstreams changes nothing, and an edge is live if its node is and nobody pruned it."""
    upstreams = list(statuses)
    runs = should_run(upstreams, statuses, pruned)
    assert should_run(data.draw(st.permutations(upstreams)), statuses, pruned) == runs
    live = (NodeStatus.SUCCEEDED, NodeStatus.STREAMING)
    assert runs == any(statuses[name] in live and name not in pruned for name in upstreams)


@given(patterns=st.lists(st.sampled_from(["a", "b|c", "^d$", ".*", "(["])), data=st.data())
def test_pruned_names_do_not_depend_on_any_order(patterns: list[str], data: st.DataObject) -> None:
    """Neither of the expressions nor of the nodes; a bad expression changes nothing."""
    pruned = pruned_downstreams({BLACK_LIST: patterns}, NAMES)
    shuffled = pruned_downstreams({BLACK_LIST: data.draw(st.permutations(patterns))}, data.draw(st.permutations(NAMES)))
    assert shuffled == pruned
    assert pruned == pruned_downstreams({BLACK_LIST: [text for text in patterns if text != "(["]}, NAMES)


def test_outputs_that_prune_nothing() -> None:
    """No list, an empty one, a text in its place, an output that is no object."""
    outputs: list[object] = [{}, {BLACK_LIST: []}, {BLACK_LIST: None}, {BLACK_LIST: "a"}, [1], b"WAVE", None, "text"]
    for output in outputs:
        assert pruned_downstreams(output, NAMES) == frozenset()


@EXAMPLES
@given(
    edges=st.lists(st.sampled_from(PAIRS), unique=True),
    blocked=st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=2)),
    delays=st.tuples(DELAYS, DELAYS),
)
def test_results_do_not_depend_on_who_finishes_first(
    edges: list[tuple[str, str]], blocked: dict[str, list[str]], delays: tuple[list[float], list[float]]
) -> None:
    """The same outputs, merged alike, and the same nodes left out, whatever takes how long."""

    async def outcome(seconds: list[float]) -> tuple[dict[str, Any], list[str]]:
        waits = dict(zip(NAMES, seconds, strict=True))
        async with ScriptedUpstream(_echo(blocked, waits)) as upstream:
            megaservice = _megaservice(upstream, edges)
            result_dict, graph = await megaservice.schedule({"text": "x"}, LLMParams(stream=False))
            await megaservice.close()
            return result_dict, graph.all_leaves()

    first, second = (asyncio.run(outcome(seconds)) for seconds in delays)
    assert first == second


def _megaservice(upstream: ScriptedUpstream, edges: list[tuple[str, str]]) -> ServiceOrchestrator:
    services: dict[str, MicroService] = {
        name: remote(name, upstream, f"/{name}", ServiceType.UNDEFINED) for name in NAMES
    }
    megaservice = ServiceOrchestrator()
    for service in services.values():
        megaservice.add(service)
    for first, second in edges:
        assert megaservice.flow_to(services[first], services[second])
    return megaservice


def _echo(blocked: dict[str, list[str]], waits: dict[str, float]) -> Any:  # noqa: ANN401 - a script
    """Answer, after a while, what was sent, the service's name as the shared field, and whom it prunes."""

    async def script(reply: Reply) -> None:
        name = reply.request.path.removeprefix("/")
        await asyncio.sleep(waits[name])
        seen = sorted(reply.request.json)
        pruned = [f"^{other}/" for other in blocked.get(name, [])]
        answer = {name: seen, "shared": name, "was": reply.request.json.get("shared"), BLACK_LIST: pruned}
        await reply.write(encode_answer(200, answer))

    return script
