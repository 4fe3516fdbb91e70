"""`python -m microservices.llm` serves the LLM microservice until SIGTERM."""

from __future__ import annotations

import sys

from microservices.llm.app import create_app
from microservices.llm.settings import LLMSettings
from servicekit.logs import configure_logging
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings


def main() -> int:
    """Serve; returns the process's exit code."""
    settings = load_settings(LLMSettings)
    configure_logging("llm", settings.log_level)
    return serve_app(create_app(settings), settings.host, settings.ports, settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_process(main))
