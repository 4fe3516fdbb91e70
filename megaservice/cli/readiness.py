"""Asks services whether they are ready: supervisor knows only whether their process lives."""

from __future__ import annotations

import http.client
import json

from megaservice.cli.services import Service

#: Longer than the gateway waits for its nodes, so that a node that hangs is not blamed on the gateway.
_ANSWER_TIMEOUT_SECONDS = 4.0
#: How the reason begins where there is no server yet.
NO_ANSWER = "nothing answers on"
#: In the reason of a server that listens, but does not serve yet.
NO_ANSWER_YET = "does not answer within"


def why_not_ready(service: Service, timeout_seconds: float = _ANSWER_TIMEOUT_SECONDS) -> str | None:
    """Ask `GET /ready` once; return None if the service is ready, else the reason in one sentence.

    The connection goes straight to the service, whatever proxy the environment names.
    """
    connection = http.client.HTTPConnection(service.address, service.port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        return None if response.status == http.client.OK else _reason(response.status, response.read())
    except TimeoutError:
        return f"{service.url}/ready {NO_ANSWER_YET} {timeout_seconds:g} s"
    except (OSError, http.client.HTTPException):
        return f"{NO_ANSWER} {service.url} yet"
    finally:
        connection.close()


def _reason(status: int, body: bytes) -> str:
    """Take the problems that the service names, or tell the status."""
    try:
        problems = json.loads(body)["problems"]
        return "; ".join(str(problem) for problem in problems)
    except (ValueError, TypeError, KeyError):
        return f"GET /ready answers {status}"
