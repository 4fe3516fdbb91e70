"""What bounds the work at runs."""

from __future__ import annotations

from dataclasses import dataclass

from microservices.assistants.settings import AssistantsSettings

_SECONDS_PER_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds of the work at runs in one process."""

    #: So many runs are at work in this process at once; others wait, for any process that has room.
    at_once: int = 64
    #: A run that has not ended by then is expired, in seconds from its creation.
    expires_after_seconds: int = 600
    #: So often work on a run is begun when each time its process dies.
    attempts: int = 3
    #: How long a run's events are kept, in seconds from its creation.
    events_kept_seconds: float = 86_400.0
    #: Waits before the gateway is asked again when it is away or draining, in seconds; then the run fails.
    retry_seconds: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    #: How often the sweep looks for runs that wait, are due, or lost their process, in seconds.
    sweep_seconds: float = 0.5

    @classmethod
    def of(cls, settings: AssistantsSettings) -> RunLimits:
        """Return the bounds that the settings name."""
        return cls(
            at_once=settings.concurrent_runs,
            expires_after_seconds=settings.run_expiry_seconds,
            attempts=settings.run_attempts,
            events_kept_seconds=settings.events_kept_hours * _SECONDS_PER_HOUR,
        )
