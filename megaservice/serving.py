"""`serve`: the gateway in this process, or in several that share the port."""

from __future__ import annotations

from megaservice.settings import GatewaySettings
from servicekit.logs import configure_logging
from servicekit.settings import load_settings


def serve(workers: int | None = None) -> int:
    """Serve the gateway in the foreground until SIGTERM; return the process's exit code.

    Args:
        workers: How many processes serve; GATEWAY_WORKERS if None.

    Raises:
        ConfigurationError: Something in the configuration cannot be used, or the port cannot be had.
    """
    settings = load_settings(GatewaySettings)
    configure_logging("gateway", settings.log_level)
    count = settings.workers if workers is None else workers
    # Imported as needed: the process that looks after workers has no use for FastAPI and comps, nor the reverse.
    if count > 1:
        from megaservice.worker_pool import serve_with_workers  # noqa: PLC0415 - see above

        return serve_with_workers(settings, count)
    from megaservice.app import serve_alone  # noqa: PLC0415 - see above

    return serve_alone(settings)
