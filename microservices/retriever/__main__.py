"""`python -m microservices.retriever`: serve until SIGTERM; exit code 2 for a configuration that cannot work."""

from __future__ import annotations

import sys

from microservices.retriever.app import create_app
from microservices.retriever.settings import RetrieverSettings
from servicekit.logs import configure_logging
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings


def main() -> int:
    """Read the settings and serve; returns the exit code."""
    settings = load_settings(RetrieverSettings)
    configure_logging("retriever", settings.log_level)
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_process(main))
