"""`python -m benchmarks`: what the gateway adds to the LLM service, with the real embedded model.

Direct and gateway requests alternate in one run, because machines drift: compare the ratios, not the milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.measure import Route, measure
from benchmarks.table import render_table
from tests.support.processes import running_service

_SYSTEM = "Translate the user's message from English into Italian. Reply with the translation only."
_MESSAGES = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "Hello, how are you?"}]


def main() -> None:
    """Start the services on free ports, measure, print the table."""
    arguments = _arguments()
    with _services() as routes:
        results = asyncio.run(measure(routes, arguments.rounds, arguments.warmup))
    print(_heading(arguments.rounds))
    print(render_table(results))
    if any(result.failures for result in results):
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests to each route, JSON and streamed")
    parser.add_argument("--warmup", type=int, default=20, help="rounds before that, not counted")
    return parser.parse_args()


@contextmanager
def _services() -> Iterator[list[Route]]:
    """Run the three services; give the routes to compare, the direct one first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports: dict[str, str] = {}
        urls: dict[str, str] = {}
        for module, variable in (
            ("microservices.llm", "LLM_SERVICE_PORT"),
            ("microservices.grader", "GRADER_SERVICE_PORT"),
            ("megaservice", "MEGA_SERVICE_PORT"),
        ):
            service = stack.enter_context(
                running_service(module, port_variable=variable, log_folder=folder, environment=ports)
            )
            ports[variable] = str(service.port)
            urls[module] = service.url
        body = {"model": "phrasebook", "messages": _MESSAGES, "temperature": 0}
        yield [
            Route("LLM service, direct", urls["microservices.llm"] + "/v1/chat/completions", body),
            Route("gateway: llm", urls["megaservice"] + "/v1/chat/completions", body),
            Route("gateway: llm >> grader", urls["megaservice"] + "/v1/chat", body),
        ]


def _heading(rounds: int) -> str:
    machine = f"{platform.machine()}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    return f"One request at a time, {rounds} rounds, routes in turn; embedded phrasebook; {machine}.\n"


if __name__ == "__main__":
    main()
