"""The first thing that a newcomer runs."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.timeout(170)]


def test_the_demo_plays_the_whole_market_to_its_end_and_loses_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "scanplane.cli", "demo", "market", "--speed", "1500"],
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    figures = dict(line.strip().rsplit("  ", 1) for line in ended.stdout.splitlines() if "  " in line.strip())
    figures = {name.strip(): value.strip() for name, value in figures.items()}
    assert figures["events applied"] == "2,500,000 of 2,500,000 played"
    assert figures["lost: frames, events, batches"] == "0"
    assert figures["provider connections at once, at most"] == "1"
    assert "synthetic" in ended.stdout.splitlines()[0]
    best = [line.split()[0] for line in ended.stdout.splitlines() if line.strip().startswith(("PLUG", "FFHL"))]
    assert best[:2] == ["PLUG", "FFHL"]
