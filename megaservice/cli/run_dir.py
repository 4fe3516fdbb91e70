"""The folder in which `up` keeps what it needs to find again: logs, the supervisor's files, what was started."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from megaservice.cli.services import Service
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError

#: Moves the folder, e.g. to run two sets of services from one checkout.
RUN_DIR_VARIABLE = "MEGASERVICE_RUN_DIR"
#: A UNIX socket's path may have 103 bytes on macOS and 107 on Linux, and supervisor first binds one with its pid
#: (a dot and up to seven digits) at the end.
MAX_SOCKET_PATH_BYTES = 103 - 8


class RunDir:
    """The paths in the folder, and the record of what runs.

    Args:
        path: The folder; it is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.config = self.path / "supervisord.conf"
        self.pid_file = self.path / "supervisord.pid"
        self.supervisor_log = self.logs / "supervisord.log"
        self._record = self.path / "services.json"

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> RunDir:
        """Take `MEGASERVICE_RUN_DIR`, or `.run` in the checkout."""
        return cls(PROJECT_ROOT / variables.get(RUN_DIR_VARIABLE, ".run"))

    def log(self, service: str) -> Path:
        """Return the log file of a service."""
        return self.logs / f"{service}.log"

    def started_file(self, service: str) -> Path:
        """Return where the time of a service's last start is kept, see launch.sh."""
        return self.path / f"{service}.started"

    def choose_pings(self, *, wanted: bool) -> None:
        """Say whether services that start ask their providers first; launch.sh looks for the file.

        It is a file because supervisord, which may run already, gives services the environment of its own start.
        """
        mark = self.path / "no-ping"
        if wanted:
            mark.unlink(missing_ok=True)
        else:
            mark.touch()

    @property
    def socket(self) -> Path:
        """The supervisor's socket: in the folder, or in a private one with a short path where that is too long."""
        path = self.path / "supervisor.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"megaservice-{os.getuid()}-{digest}" / "supervisor.sock"

    def make(self) -> None:
        """Make the folders, readable by this user alone.

        Raises:
            ConfigurationError: A folder cannot be made, or somebody else owns the socket's.
        """
        try:
            for folder in (self.path, self.logs, self.socket.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(f"The folder {exc.filename} cannot be made: {exc.strerror}.") from exc
        if self.socket.parent.stat().st_uid != os.getuid():
            raise ConfigurationError(f"{self.socket.parent} belongs to another user; set TMPDIR to a folder of yours.")

    def remove_traces(self) -> None:
        """Remove what only a running supervisor needs; the logs stay."""
        for path in (self.socket, self.pid_file, self.config, self._record, *self.path.glob("*.started")):
            path.unlink(missing_ok=True)
        if self.socket.parent != self.path and self.socket.parent.is_dir():
            self.socket.parent.rmdir()

    def record(self, services: list[Service]) -> None:
        """Remember what is started and where, since `.env` may say otherwise by the time of `status`."""
        self._record.write_text(json.dumps([service.as_dict() for service in services], indent=1), encoding="utf-8")

    def recorded(self) -> list[Service] | None:
        """Return what was started, or None where nothing usable is recorded."""
        try:
            rows = json.loads(self._record.read_text(encoding="utf-8"))
            return [Service.from_dict(row) for row in rows]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one `up` or `down` at a time start and stop processes; another one waits."""
        self.make()
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
