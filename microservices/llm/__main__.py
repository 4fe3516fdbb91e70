"""`python -m microservices.llm` checks what it was told and serves the LLM microservice until SIGTERM."""

from __future__ import annotations

import sys

from microservices.llm.app import create_app
from microservices.llm.settings import LLMSettings
from servicekit.checks.start import StartChecks, check_before_start, wants_pings
from servicekit.logs import configure_logging
from servicekit.model_settings import catalog_from
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings


def main() -> int:
    """Serve; returns the process's exit code."""
    pings = wants_pings("microservices.llm", sys.argv[1:])
    settings = load_settings(LLMSettings)
    configure_logging("llm", settings.log_level)
    check_before_start(
        StartChecks(
            load=lambda: catalog_from(settings),
            host=settings.host,
            ports=settings.ports,
            ping=pings and settings.ping_providers,
        )
    )
    return serve_app(create_app(settings), settings.host, settings.ports, settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_process(main))
