"""Addresses that cannot be meant: to listen on instead of to call, our own, of the other side of a container's wall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from servicekit.checks.findings import Finding, Verdict
from servicekit.checks.in_use import DeploymentInUse
from servicekit.checks.other_side import (
    LOOPBACK,
    compose_name_advice,
    is_foreign_name,
    is_listening,
    loopback_advice,
)

#: Addresses to listen on, which nobody can be called at.
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - looked for, not bound
#: What the variables with an address to call end in.
_TARGETS = ("_HOST_IP", "_ENDPOINT")


def check_variables(variables: Mapping[str, str], *, in_container: bool) -> Iterator[Finding]:
    """Look at the variables that say where services are: LLM_SERVICE_HOST_IP, LLM_ENDPOINT, HOST_IP, ..."""
    for name in sorted({name.upper() for name in variables if name.upper().endswith((*_TARGETS, "HOST_IP"))}):
        value = variables[name]
        host = (urlsplit(value).hostname if "://" in value else value) or ""
        if host in _ANY_ADDRESS:
            yield Finding(Verdict.PROBLEM, "addresses", _not_callable(f"{name} is {value}"))
        elif in_container and host in LOOPBACK and (port := _port_of(value)) and not is_listening(host, port):
            yield Finding(Verdict.PROBLEM, "addresses", f"{name} is {value}. {loopback_advice(port)}")
        elif not in_container and is_foreign_name(host):
            yield Finding(Verdict.PROBLEM, "addresses", f"{name} is {value}. {compose_name_advice(host)}")


def check_targets(uses: Sequence[DeploymentInUse], own_ports: Sequence[int]) -> Iterator[Finding]:
    """Look at the address of each deployment; whether somebody answers there a ping tells.

    Args:
        uses: The deployments.
        own_ports: Where this service listens itself; it must not ask itself for its answers.
    """
    for use in uses:
        url = use.deployment.base_url
        if url is None:
            continue
        subject, host = f"model {use.alias}", urlsplit(url).hostname or ""
        if host in _ANY_ADDRESS:
            yield Finding(Verdict.PROBLEM, subject, _not_callable(f"its address is {url}"))
        elif host in LOOPBACK and _port_of(url) in own_ports:
            itself = f"its address is {url}, which is this service itself: it would ask itself for ever."
            remedy = "Name the server that has the model, or give this service another port."
            yield Finding(Verdict.PROBLEM, subject, f"{itself} {remedy}")


def _not_callable(what: str) -> str:
    return f"{what}: that is an address to listen on, not one to call. Write 127.0.0.1 or the machine's address."


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None
