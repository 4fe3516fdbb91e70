"""What a run was made on and with: without it no number can be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.contenders import nginx_program

_PACKAGES = ("uvloop", "aiohttp", "httptools", "uvicorn", "orjson", "opea-comps")


def describe_machine(available: frozenset[int]) -> dict[str, Any]:
    """Return the processor, its cores, the kernel and how busy it is now."""
    return {
        "cpu": _cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": len(available),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load_average_at_start": list(os.getloadavg()),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "nginx": _nginx_version()}


def _cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.processor() or "unknown"


def _nginx_version() -> str:
    program = nginx_program()
    if program is None:
        return "not installed"
    result = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return result.stderr.strip().rpartition("/")[2] or "unknown"
