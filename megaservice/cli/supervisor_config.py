"""Writes the configuration of supervisord: http://supervisord.org/configuration.html."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from megaservice.cli.run_dir import RunDir
from megaservice.cli.services import Service
from servicekit.environment import PROJECT_ROOT

#: Services finish running requests for up to 30 s after SIGTERM (DRAIN_SECONDS); only then are they killed.
STOP_WAIT_SECONDS = 40
#: Ended by these, a service is not started again: 0 is a stop on purpose, 2 a configuration that cannot work.
FINAL_EXIT_CODES = (0, 2)

_LAUNCHER = Path(__file__).with_name("launch.sh")

_HEAD = """\
; Written anew by each `up`. Why it is as it is: docs/decisions/0002-supervisor.md
[supervisord]
logfile={supervisor_log}
logfile_maxbytes=1MB
logfile_backups=1
pidfile={pid_file}
directory={root}
childlogdir={logs}
identifier=megaservice

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command={command}
directory={root}
environment=PYTHONUNBUFFERED="1"
priority={priority}
autostart=false
autorestart=unexpected
exitcodes={exit_codes}
startsecs=0
stopsignal=TERM
stopwaitsecs={stop_wait}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def render_config(run_dir: RunDir, services: Sequence[Service]) -> str:
    """Return the configuration's text.

    Programs start only when `up` asks for them (it must know about each start), and supervisor stops them in the
    reverse order of the list: the gateway finishes its requests while the services behind it still answer.
    """
    head = _HEAD.format(
        supervisor_log=_escaped(run_dir.supervisor_log),
        pid_file=_escaped(run_dir.pid_file),
        root=_escaped(PROJECT_ROOT),
        logs=_escaped(run_dir.logs),
        socket=_escaped(run_dir.socket),
    )
    return head + "".join(_program(run_dir, service, rank) for rank, service in enumerate(services, start=1))


def _program(run_dir: RunDir, service: Service, rank: int) -> str:
    return _PROGRAM.format(
        name=service.name,
        command=_command(run_dir, service),
        root=_escaped(PROJECT_ROOT),
        priority=rank,
        exit_codes=",".join(str(code) for code in FINAL_EXIT_CODES),
        stop_wait=STOP_WAIT_SECONDS,
        log=_escaped(_escaped(run_dir.log(service.name))),  # supervisor 4.3 expands log files' names twice
    )


def _command(run_dir: RunDir, service: Service) -> str:
    words = ["/bin/sh", _LAUNCHER, run_dir.started_file(service.name), sys.executable, "-m", *service.arguments]
    return " ".join(f'"{_escaped(word)}"' for word in words)


def _escaped(value: object) -> str:
    """Escape what supervisor would expand; a path with a quote in it is beyond its syntax."""
    return str(value).replace("%", "%%")
