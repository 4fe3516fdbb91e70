"""Whether somebody listens where traces are sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from servicekit.checks.findings import Finding, Verdict

_CONNECT_SECONDS = 2.0
#: Where collectors take OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp-default-port
_OTLP_PORT = 4318


def check_telemetry(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether somebody listens at the telemetry endpoint, if there is one."""
    endpoint = variables.get("TELEMETRY_ENDPOINT")
    if endpoint is None:
        return
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    try:
        address = (parts.hostname or "", parts.port or _OTLP_PORT)
        with socket.create_connection(address, timeout=_CONNECT_SECONDS):
            yield Finding(Verdict.OK, "telemetry", "TELEMETRY_ENDPOINT is listened on")
    except (OSError, ValueError):
        lost = "TELEMETRY_ENDPOINT is set, but nobody listens there; traces are lost."
        yield Finding(Verdict.WARNING, "telemetry", f"{lost} Unset it, or start the collector.")
