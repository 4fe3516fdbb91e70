"""`python -m microservices.assistants`: serve until SIGTERM; exit code 2 for a configuration that cannot work."""

from __future__ import annotations

import sys

from microservices.assistants.command_line import main
from servicekit.server import run_process

if __name__ == "__main__":
    sys.exit(run_process(main))
