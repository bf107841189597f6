"""``scanplane validate`` and ``scanplane plan``: files of resources, looked at without running anything."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from scanplane.local.files import InputError, read_sources
from scanplane.local.reference_files import reference_problems
from scanplane.local.world import World, build_world, in_order
from scanplane.plan.configuration import configuration_hash, secrets_of
from scanplane.plan.inventory import Home
from scanplane.resources.common import API_VERSION
from scanplane.resources.kinds import Kind
from scanplane.resources.problems import render_problems

__all__ = ["plan_files", "validate_files", "write_plan"]

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def validate_files(paths: Sequence[Path], *, cluster: bool = False) -> int:
    """Print everything that is wrong with *paths*, for a cluster if so asked, and return the exit code."""
    home = Home.CLUSTER if cluster else Home.LOCAL
    try:
        sources = read_sources(paths)
        world = build_world(sources, os.environ, home=home, assume_inputs=True)
    except InputError as error:
        sys.stderr.write(f"scanplane: {error}\n")
        return 2
    for remark in world.remarks:
        sys.stderr.write(f"note: {remark}\n")
    # on a cluster the files are keys of ConfigMaps or in the image, and need not be here
    problems = (
        world.problems if cluster else in_order(sources, (*world.problems, *reference_problems(world.located.values())))
    )
    if problems:
        sys.stderr.write(render_problems(problems) + "\n")
        return 2
    if not world.located and not world.secret_documents:
        kinds = ", ".join(Kind)
        sys.stderr.write(f"scanplane: there is nothing to check: write apiVersion: {API_VERSION} and one of {kinds}\n")
        return 2
    counted = (
        _counted(len(world.located), "resource") if world.located else _counted(len(world.secret_documents), "Secret")
    )
    over = f"; {world.passed_over} passed over, as noted" if world.passed_over else ""
    sys.stdout.write(f"{counted}, nothing wrong{over}.\n")
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plan_files(paths: Sequence[Path], output: Path | None, namespace: str) -> int:
    """Print the plan of *paths*, or write it into *output*; return the exit code."""
    if not _NAMESPACE.fullmatch(namespace):
        sys.stderr.write(f"scanplane: {namespace!r} is no namespace: use lower-case letters, digits and hyphens\n")
        return 2
    try:
        home, assume_inputs = (Home.LOCAL, True) if output is None else (Home.PROCESSES, False)
        world = build_world(
            read_sources(paths), os.environ, namespace=namespace, home=home, assume_inputs=assume_inputs
        )
        if output is not None:
            write_plan(world, output)
    except InputError as error:
        sys.stderr.write(f"scanplane: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"scanplane: can't write to {output}: {(error.strerror or '').lower()}\n")
        return 2
    if world.problems:
        sys.stderr.write(render_problems(world.problems) + "\n")
    _show(world)
    return 2 if world.problems else 0


def _show(world: World) -> None:
    table = Table("instance", "configuration", "made from", box=None, header_style="bold")
    for name, configuration in sorted(world.plan.configurations.items()):
        table.add_row(name, configuration_hash(configuration), ", ".join(sorted(configuration.sources)))
    Console().print(table)


def write_plan(world: World, output: Path) -> None:
    """Write configurations as the roles read them; a Secret becomes a folder of files that only its owner can read."""
    output.mkdir(parents=True, exist_ok=True)
    for name, configuration in world.plan.configurations.items():
        document = msgspec.json.format(msgspec.json.encode(configuration, order="sorted"), indent=2)
        (output / f"{name}.json").write_bytes(document + b"\n")
        for key in secrets_of(configuration):
            values = {key.key: world.secrets.read(key)} if key.key else world.secrets.read_all(key.name)
            folder = output / "secrets" / key.name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for field, value in values.items():
                (folder / field).touch(mode=0o600)
                (folder / field).write_text(value, encoding="utf-8")
