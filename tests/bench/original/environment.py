"""A virtual environment that holds the original library alone, made once and kept in the user's cache.

The library asks for a newer Python than it needs; pip is told to ignore that. Its dependencies are what pip resolves:
their versions are part of what is measured. One thing is added in its favour: hiredis, which it does not ask
for, but with which its Redis client parses in C; without it the analyzer is several times slower.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["ORIGINAL_VERSION", "WITHOUT_ORIGINAL", "OriginalUnavailableError", "original_python", "run_in_original"]

ORIGINAL_VERSION = "0.4.17"
WITHOUT_ORIGINAL = "SCANPLANE_BENCH_WITHOUT_ORIGINAL"

_REQUIREMENTS = (f"kuhl-haus-mdp=={ORIGINAL_VERSION}", "hiredis")
_INSTALL_SECONDS = 600
_START_SECONDS = 60


class OriginalUnavailableError(Exception):
    """The original library can't be installed or run; the text says why in one line."""


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "scanplane" / f"original-{ORIGINAL_VERSION}"


def original_python() -> Path:
    """Return the Python that can import the original, installing it at the first call.

    Raises OriginalUnavailableError, at once where the environment says (``SCANPLANE_BENCH_WITHOUT_ORIGINAL``) why it is not
    to be tried.
    """
    if reason := os.environ.get(WITHOUT_ORIGINAL):
        raise OriginalUnavailableError(reason)
    folder = _folder()
    python = folder / "bin" / "python"
    complete = folder / "installed"
    if python.exists() and complete.exists() and complete.read_text().split() == list(_REQUIREMENTS):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)], _INSTALL_SECONDS)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-requires-python"]
    _run([*pip, *_REQUIREMENTS], _INSTALL_SECONDS)
    complete.write_text("\n".join(_REQUIREMENTS))
    return python


def _run(command: list[str], seconds: float, given: str = "") -> str:
    try:
        finished = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise OriginalUnavailableError(f"{Path(command[-1]).name} took more than {seconds:g} s") from None
    if finished.returncode != 0:
        last = (finished.stderr.strip() or finished.stdout.strip() or "no output").splitlines()[-1]
        raise OriginalUnavailableError(f"{' '.join(Path(part).name for part in command[:4])} ...: {last}")
    return finished.stdout


def run_in_original(script: Path, arguments: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """Run *script* with the original's Python and return the JSON object of its last line.

    *arguments* go to its standard input as JSON, since a URL may hold a password. *seconds* is what it means to take;
    a minute more is allowed for starting and ending. Raises OriginalUnavailableError.
    """
    output = _run([str(original_python()), str(script)], seconds + _START_SECONDS, json.dumps(arguments))
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result
