"""The child process: one GGUF model behind llama.cpp's own HTTP server. Started by `llama_process`.

It is a process of its own because the library has no way to stop: deleting a busy server hangs or crashes the
interpreter. Nothing heavy is imported here, since `make up` waits for it.

Standard input: one line of JSON with the configuration, then nothing; its end means that the parent is gone.
Standard output: one line of JSON, `{"url"}` or `{"error"}`. Standard error: llama.cpp's log.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
#: Errors only; the parent logs requests itself.
_LOG_ERRORS = 1
_LOG_SECONDS = 0.3


def main() -> None:
    """Serve until standard input ends."""
    config = json.loads(sys.stdin.buffer.readline())
    _die_with_parent(config["parent_pid"])
    report_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the library prints must not look like the report
    try:
        server = _start_server(config)
        report = {"url": server.listening_address}
    except (ImportError, OSError, RuntimeError, ValueError) as exc:
        report = {"error": str(exc)}
        time.sleep(_LOG_SECONDS)  # llama.cpp's own words, which say why, are written by a thread of its own
    report_to.write(json.dumps(report) + "\n")
    report_to.flush()
    if "url" in report:
        sys.stdin.buffer.read()
    os._exit(0 if "url" in report else 1)  # no destructors: they hang while work is queued


def _start_server(config: dict[str, Any]) -> Any:  # noqa: ANN401 - the library has no types
    """Load the model and listen on a free loopback port; returns once requests can be sent."""
    import xllamacpp  # noqa: PLC0415 - a missing or unloadable library must become a report

    params = xllamacpp.CommonParams()
    params.model.path = config["path"]
    params.model_alias = {config["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config["api_key"]]
    params.n_parallel = config["parallel"]
    params.n_ctx = config["context_tokens"] * config["parallel"]
    params.n_threads_http = config["http_threads"]
    params.endpoint_metrics = config["metrics"]
    params.endpoint_slots = False
    params.embedding = True  # beside chat, in one server
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.ui = False
    params.cache_ram_mib = 0  # llama.cpp would keep up to 8 GB of old prompts
    params.verbosity = _LOG_ERRORS
    if config["threads"] is not None:
        params.cpuparams.n_threads = config["threads"]
        params.cpuparams_batch.n_threads = config["threads"]
    return xllamacpp.Server(params)


def _die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies, also while llama.cpp loads and holds the GIL.

    To be exact, when the parent's thread that started it ends: the one of its event loop. Elsewhere than on Linux
    the end of standard input does it, once the model is loaded.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it died before the call
            os._exit(1)


if __name__ == "__main__":
    main()
