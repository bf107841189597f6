"""Write every generated file of the repository again, or check that none is stale.

``python -m scanplane.cli.generate`` writes, ``--check`` only compares and exits 1 naming what is stale.
To add something generated, add one :class:`Generator` to :data:`GENERATORS`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from scanplane.features.documentation import render_features
from scanplane.gateway.openapi import render_openapi
from scanplane.plan.documentation import render_resources
from scanplane.resources.crds import render_chart_crds, render_crds

__all__ = ["GENERATORS", "Generator", "main", "stale_files", "write_files"]


class Generator(Struct, frozen=True):
    """Renders files of *folder*, texts by file name. *owns* is the pattern of all files there that only it writes."""

    folder: str
    render: Callable[[], dict[str, str]]
    owns: str


GENERATORS: tuple[Generator, ...] = (
    Generator(folder="crds", render=render_crds, owns="*.yaml"),
    Generator(folder="charts/scanplane/templates/crds", render=render_chart_crds, owns="*.yaml"),
    Generator(folder="docs", render=lambda: {"features.md": render_features()}, owns="features.md"),
    Generator(folder="docs", render=lambda: {"resources.md": render_resources()}, owns="resources.md"),
    Generator(folder="docs", render=render_openapi, owns="openapi.json"),
)
"""Everything that is generated."""


def stale_files(root: Path, generators: Sequence[Generator] = GENERATORS) -> list[str]:
    """Return what differs below *root*, one line a file: ``crds/x.yaml is stale``."""
    findings = []
    for generator in generators:
        folder = root / generator.folder
        wanted = generator.render()
        for name, text in wanted.items():
            path = folder / name
            if not path.exists():
                findings.append(f"{generator.folder}/{name} is missing")
            elif path.read_text(encoding="utf-8") != text:
                findings.append(f"{generator.folder}/{name} is stale")
        findings += [
            f"{generator.folder}/{name} is not generated any more" for name in _strays(folder, generator, wanted)
        ]
    return findings


def write_files(root: Path, generators: Sequence[Generator] = GENERATORS) -> list[str]:
    """Write every generated file below *root*, remove what is generated no more; return the paths written."""
    written = []
    for generator in generators:
        folder = root / generator.folder
        folder.mkdir(parents=True, exist_ok=True)
        wanted = generator.render()
        for name in _strays(folder, generator, wanted):
            (folder / name).unlink()
        for name, text in wanted.items():
            (folder / name).write_text(text, encoding="utf-8")
            written.append(f"{generator.folder}/{name}")
    return written


def _strays(folder: Path, generator: Generator, wanted: dict[str, str]) -> list[str]:
    return sorted(path.name for path in folder.glob(generator.owns) if path.name not in wanted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m scanplane.cli.generate", description="Write the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming the stale files")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout; the current folder if left out")
    options = parser.parse_args(arguments)
    if not (options.root / "pyproject.toml").exists():
        sys.stderr.write(f"{options.root.resolve()} is no checkout of Scanplane: run this where pyproject.toml is\n")
        return 2
    if options.check:
        findings = stale_files(options.root)
        sys.stdout.writelines(f"{line}\n" for line in findings)
        if findings:
            sys.stdout.write("Run `make generate` and commit what it writes.\n")
        return 1 if findings else 0
    sys.stdout.writelines(f"{path}\n" for path in write_files(options.root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
