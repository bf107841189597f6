"""A home of real roles in this process: what stands in the files is what runs, whenever it was written."""

import asyncio
from pathlib import Path

from scanplane.cli.up import telemetry_settings
from scanplane.local.home import Home, HomeSettings
from scanplane.telemetry.setup import start_telemetry
from support.gateway import eventually
from support.resource_texts import a_board, massive_feed, pipeline

DATA_PLANE = """
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec: {gateway: {port: 0}}
"""


async def test_what_is_written_while_it_starts_is_applied_too(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(
        pipeline(massive_feed("ws://127.0.0.1:1"), ["Trades"], [a_board("volume", "volume", ["price"])]) + DATA_PLANE
    )
    home, stop = Home(HomeSettings(paths=[file])), asyncio.Event()
    world = home.load()
    file.write_text(file.read_text().replace("limit: 50", "limit: 5"))
    with start_telemetry(telemetry_settings(world)) as telemetry:
        running = asyncio.create_task(home.run(world, telemetry, stop))
        await eventually(lambda: running.done() or any(change.restart is not None for change in home.changes))
        stop.set()
        await running
    assert [change.instance for change in home.changes if change.restart is not None] == ["analyzer-us-stocks-0"]
