"""`python -m microservices.grader`: serve until SIGTERM; exit code 2 for a configuration that cannot work."""

from __future__ import annotations

import sys

from microservices.grader.app import create_app
from microservices.grader.settings import GraderSettings
from servicekit.logs import configure_logging
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings


def start() -> int:
    """Read the settings and serve; returns the exit code."""
    settings = load_settings(GraderSettings)
    configure_logging("grader", settings.log_level)
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_process(start))
