"""`python -m microservices.grader`: serve until SIGTERM; exit code 2 for a configuration that cannot work."""

from __future__ import annotations

import sys

from microservices.grader.app import create_app
from microservices.grader.settings import GraderSettings, catalog_of
from servicekit.checks.start import StartChecks, check_before_start, wants_pings
from servicekit.logs import configure_logging
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings


def start() -> int:
    """Read the settings, check what they name, and serve; returns the exit code."""
    pings = wants_pings("microservices.grader", sys.argv[1:])
    settings = load_settings(GraderSettings)
    configure_logging("grader", settings.log_level)
    check_before_start(
        StartChecks(
            load=lambda: catalog_of(settings),
            host=settings.host,
            ports=[settings.port],
            default_only=True,
            ping=pings and settings.ping_providers,
        )
    )
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_process(start))
