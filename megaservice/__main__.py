"""`python -m megaservice`: the command line, see megaservice/cli/main.py."""

import sys

from megaservice.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
