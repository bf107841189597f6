"""The command behind ``make bench``: which parts there are, each run in a process of its own, what is printed and written."""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from bench.conditions import describe_machine
from bench.original import ORIGINAL_VERSION, WITHOUT_ORIGINAL, OriginalUnavailableError, original_python
from bench.printing import new_console, print_conditions, print_goals, print_part
from bench.report import PartResult, Verdict, goals_of, to_document
from support.servers import ChildProcess

__all__ = ["exit_code", "main"]

_FAILED = 1
_INTERRUPTED = 130
_HERE = Path(__file__).parent


class Part(Struct, frozen=True):
    """A module with a function ``measure``, and the most seconds that it may take: three times what it takes in calm."""

    module: str
    limit_s: float
    summary: str
    needs_original: bool = False


PARTS = {
    "publish": Part(
        "publishing", 240, "provider's socket to confirmed by RabbitMQ, on loopback and at 20 ms", needs_original=True
    ),
    "analyze": Part("analyzing", 300, "RabbitMQ to boards in Redis, on loopback and at 20 ms", needs_original=True),
    "chain": Part("chain", 240, "highest sustained rate of the whole chain; tick to client"),
    "restart": Part("restarts", 60, "hand-over of a baton after SIGTERM and SIGKILL"),
    "telemetry": Part("observing", 150, "what metrics, traces and scrapes cost"),
    "gateway": Part("delivering", 240, "deliveries to clients, and a client that never reads"),
    "expressions": Part("evaluating", 120, "scanners' expressions over a whole market, and each scanner as a whole"),
    "cluster": Part("rolling", 900, "a changed resource on a real node: patch to board; provider without a connection"),
    "operator": Part("operating", 600, "a thousand resources: writes at rest, time to apply a change, memory"),
}


def _arguments() -> argparse.Namespace:
    parts = "\n".join(f"  {name:12} {part.summary}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python tests/bench",
        description="Measure Scanplane beside the library that it re-imagines. Parts:\n" + parts,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these parts; all if none is named")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all values to this file too")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if a goal is missed or could not be measured"
    )
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        parser.error(f"there is no folder {arguments.json.parent} to write {arguments.json.name} to")
    return arguments


def _measure_here(name: str, result: Path) -> int:
    """Be the process of one part."""
    found: PartResult = importlib.import_module(f"bench.{PARTS[name].module}").measure()
    result.write_bytes(msgspec.json.encode(found))
    return 0


def _measure_in_child(name: str, folder: Path) -> PartResult | str:
    """Run one part in a process of its own; return its result, or why there is none in one line."""
    result, log = folder / f"{name}.json", folder / f"{name}.log"
    child = ChildProcess([sys.executable, str(_HERE), name, "--result", str(result)], os.environ, log)
    try:
        code = child.wait(PARTS[name].limit_s)
    except subprocess.TimeoutExpired:
        return f"not done after {PARTS[name].limit_s:.0f} s and given up; is the machine busy with something else?"
    finally:
        child.end(signal.SIGINT)  # it ends its servers
    if code == 0:
        return msgspec.json.decode(result.read_bytes(), type=PartResult)
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"ended with {code}"


def main() -> int:
    """Measure, print, write; return 1 if a part could not be measured, where it is strict also if a goal is missed."""
    arguments = _arguments()
    if arguments.result is not None:
        return _measure_here(arguments.parts[0], arguments.result)
    try:
        return _measure_all(arguments.parts or list(PARTS), arguments.json, strict=arguments.strict)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED


def _prepare_original(console: Console) -> None:
    """Install the original where it is not yet, outside of every part's time; say it once if that can't be done."""
    try:
        with console.status("installing the original into a virtual environment of its own"):
            original_python()
    except OriginalUnavailableError as error:
        os.environ[WITHOUT_ORIGINAL] = str(error)
        console.print("the original can't be installed, so our side is measured alone and no ratio is met: ", end="")
        console.print(str(error), markup=False)
    else:
        console.print(f"the original: kuhl-haus-mdp {ORIGINAL_VERSION}")


def exit_code(results: Mapping[str, PartResult | str], *, strict: bool) -> int:
    """Return 1 if one of *results* is no result but the reason why there is none; where *strict* also if a goal is missed."""
    missed = any(goal.verdict is Verdict.MISSED for goal in goals_of(results))
    failed = not all(isinstance(result, PartResult) for result in results.values())
    return _FAILED if failed or (strict and missed) else 0


def _measure_all(names: list[str], json_path: Path | None, *, strict: bool) -> int:
    console, conditions = new_console(), describe_machine()
    print_conditions(console, conditions)
    if any(PARTS[name].needs_original for name in names):
        _prepare_original(console)
    results: dict[str, PartResult | str] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scanplane-bench-") as folder:
        for name in names:
            with console.status(f"{name}: {PARTS[name].summary}"):
                load, started = os.getloadavg()[0], time.monotonic()
                results[name] = found = _measure_in_child(name, Path(folder))
            if isinstance(found, PartResult):
                print_part(console, found, time.monotonic() - started, load)
            else:
                console.print(f"\n[red]{name} could not be measured:[/red] ", end="")
                console.print(found, markup=False)
    print_goals(console, goals_of(results))
    console.print(f"\nall of it took {time.monotonic() - began:.0f} s")
    if json_path is not None:
        json_path.write_text(json.dumps(to_document(conditions, results), indent=2) + "\n")
    return exit_code(results, strict=strict)
