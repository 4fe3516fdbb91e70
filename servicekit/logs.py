"""Log lines of one shape in every process: time, level, service, request id, message."""

from __future__ import annotations

import logging
import sys

from servicekit.context import current_request_id

_FORMAT = "%(asctime)s %(levelname)s %(service)s [%(request_id)s] %(name)s: %(message)s"


class _ContextFilter(logging.Filter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        record.request_id = current_request_id.get()
        return True


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every logger's lines to standard error, each with the service's name and the request id.

    Args:
        service: The name at the start of each line, such as `llm`.
        level: A standard level name.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_ContextFilter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
