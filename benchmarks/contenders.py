"""Who is measured: each a process of its own on a free loopback port, before the same upstream."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import PROJECT_ROOT, Launch, Server, find_free_port, running

DIRECT = "direct"
NGINX = "nginx"
RAW = "raw asyncio"
STOCK = "stock"
OURS = "ours"
OURS_AIOHTTP = "ours (HTTP_TRANSPORT=aiohttp)"
OURS_TWO_WORKERS = "ours --workers 2"

#: nginx as a gateway would be set up: one worker, upstream connections kept, nothing buffered, nothing logged.
_NGINX_CONFIGURATION = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
  upstream llm {{
    server 127.0.0.1:{upstream_port};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://llm;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Someone who is measured.

    Attributes:
        name: As the tables say it.
        launch: Makes the start of one process, given its port, the upstream's and a folder of its own; None for
            the upstream itself.
        ready_path: Answers 200 once it serves.
    """

    name: str
    launch: Callable[[int, int, Path], Launch] | None
    ready_path: str = "/health"


def available_contenders() -> dict[str, Contender]:
    """Return those that can run here, by name."""
    everyone = [Contender(DIRECT, None), Contender(RAW, _raw), Contender(STOCK, _stock), Contender(OURS, _ours)]
    everyone.append(Contender(OURS_AIOHTTP, _ours_on_aiohttp))
    if nginx_program() is not None:
        everyone.append(Contender(NGINX, _nginx))
    if _has_workers():
        everyone.append(Contender(OURS_TWO_WORKERS, _ours_with_workers))
    return {contender.name: contender for contender in everyone}


@contextmanager
def serving(contender: Contender, upstream: Server, folder: Path, cores: frozenset[int]) -> Iterator[Server]:
    """Run a contender from readiness to its end; `direct` is the upstream itself."""
    if contender.launch is None:
        yield upstream
        return
    port = find_free_port()
    name = "".join(letter if letter.isalnum() else "-" for letter in contender.name)
    own = folder / f"{name}-{port}"
    own.mkdir(exist_ok=True)
    launch = contender.launch(port, upstream.port, own)
    with running(launch, port, own / "log", cores) as server:
        server.wait_until_healthy(contender.ready_path)
        yield server


def nginx_program() -> str | None:
    """Return nginx's path; Debian keeps it where users' PATH does not look."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def _has_workers() -> bool:
    command = [sys.executable, "-m", "megaservice", "serve", "--help"]
    result = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    return "--workers" in result.stdout


def _nginx(port: int, upstream_port: int, folder: Path) -> Launch:
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX_CONFIGURATION.format(port=port, upstream_port=upstream_port, folder=folder))
    return Launch([nginx_program() or NGINX, "-p", str(folder), "-c", str(configuration)], {})


def _python(*arguments: str, **environment: str) -> Launch:
    return Launch([sys.executable, *arguments], {"PYTHONUNBUFFERED": "1", **environment})


def _raw(port: int, upstream_port: int, _folder: Path) -> Launch:
    return _python("-m", "benchmarks.raw_proxy", "--port", str(port), "--upstream-port", str(upstream_port))


def _stock(port: int, upstream_port: int, _folder: Path) -> Launch:
    return _python("-m", "benchmarks.stock_gateway", "--port", str(port), "--upstream-port", str(upstream_port))


def _ours(port: int, upstream_port: int, _folder: Path) -> Launch:
    """Start the gateway as it ships, with its own pipelines: /v1/chat/completions and the graded /v1/chat."""
    return _python("-m", "megaservice", "serve", **_our_variables(port, upstream_port))


def _ours_on_aiohttp(port: int, upstream_port: int, _folder: Path) -> Launch:
    return _python("-m", "megaservice", "serve", **_our_variables(port, upstream_port), HTTP_TRANSPORT="aiohttp")


def _ours_with_workers(port: int, upstream_port: int, _folder: Path) -> Launch:
    return _python("-m", "megaservice", "serve", "--workers", "2", **_our_variables(port, upstream_port))


def _our_variables(port: int, upstream_port: int) -> dict[str, str]:
    return {
        "MEGASERVICE_ENV_FILE": os.devnull,
        "MEGA_SERVICE_PORT": str(port),
        "LLM_SERVICE_PORT": str(upstream_port),
        "GRADER_SERVICE_PORT": str(upstream_port),
        "RETRIEVER_SERVICE_PORT": str(upstream_port),
    }
