"""What a figure was measured on: without it, it says nothing."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import scanplane

__all__ = ["describe_machine"]

_LIBRARIES = ("aiormq", "msgspec", "numpy", "redis", "uvloop", "websockets")


def describe_machine() -> dict[str, Any]:
    """Return cores, memory, load and versions; nothing that names the machine."""
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "loadBefore": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "scanplane": scanplane.__version__,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "servers": {"RabbitMQ": _rabbitmq(), "Redis": _redis()},
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _rabbitmq() -> str:
    """Return the version by the name of its library folder, for to ask the program takes seconds."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    return found[-1].name.partition("-")[2] if found else "unknown"


def _redis() -> str:
    if shutil.which("redis-server") is None:
        return "not installed"
    answer = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, timeout=10, check=False)
    return next((word[2:] for word in answer.stdout.split() if word.startswith("v=")), "unknown")
