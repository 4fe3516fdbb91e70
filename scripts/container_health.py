"""The health check of our containers: whether the service on a port is ready, and what it says if it is not.

Usage: python -m scripts.container_health PORT

`docker inspect` shows what is printed here. Unlike urllib it never asks a proxy, and it imports next to nothing, since
it runs every few seconds.
"""

import http.client
import sys

_TIMEOUT_SECONDS = 4.0


def main(arguments: list[str]) -> int:
    """Print what `/ready` answers; return 0 if it says yes, else 1."""
    port = int(arguments[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        print(answer.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as exc:
        print(f"port {port} does not answer: {type(exc).__name__}: {exc}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
