"""The failure of `schedule`, for callers with stock FastAPI around them and for our own gateway."""

from __future__ import annotations

from fastapi import HTTPException

from servicekit.errors import ServiceError


class ScheduleError(HTTPException):
    """A run failed before its answer began.

    Stock FastAPI turns it into the right status by itself; our gateway takes `error` and answers OpenAI's body.
    """

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.status, detail=error.body()["error"], headers=error.headers())
        self.error = error
