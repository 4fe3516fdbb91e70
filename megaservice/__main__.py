"""`python -m megaservice`: the command line, see megaservice/cli/main.py."""

import sys

try:
    from megaservice.cli.main import main
except ModuleNotFoundError as exc:  # the system's Python, most likely
    sys.exit(f"error: {exc.name} is not installed for {sys.executable}. Run `make up` once; it makes .venv/bin/python.")

if __name__ == "__main__":
    sys.exit(main())
