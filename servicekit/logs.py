"""Log lines of one shape in every process: time, level, service, request id, message."""

from __future__ import annotations

import logging
import sys

from servicekit.context import current_request_id
from servicekit.environment import read_variables
from servicekit.secret_mask import known_secrets

_FORMAT = "%(asctime)s %(levelname)s %(service)s [%(request_id)s] %(name)s: %(message)s"


class _ContextFilter(logging.Filter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        record.request_id = current_request_id.get()
        return True


class _MaskingFormatter(logging.Formatter):
    """Writes a line, its traceback included, without the secrets of the configuration."""

    def format(self, record: logging.LogRecord) -> str:
        return known_secrets().masked(super().format(record))


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every logger's lines to standard error, each with the service's name and the request id.

    Args:
        service: The name at the start of each line, such as `llm`.
        level: A standard level name.
    """
    known_secrets().add_variables(read_variables())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskingFormatter(_FORMAT))
    handler.addFilter(_ContextFilter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
