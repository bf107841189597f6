"""A watch that was there and is gone is told, by its name."""

import asyncio

from scanplane_operator.watches import Watches


async def test_a_watch_that_ended_is_told_until_it_runs_again() -> None:
    watches = Watches()
    end = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(end.wait(), name="something else")
        feeds = group.create_task(end.wait(), name="watcher for feeds.v1alpha1.scanplane.io in all namespaces")
        scanners = group.create_task(end.wait(), name="watcher for scanners.v1alpha1.scanplane.io in all namespaces")
        watches.look()
        assert len(watches) == 2
        assert watches.ended == ()
        feeds.cancel()
        await asyncio.wait([feeds])
        watches.look()
        assert watches.ended == ("feeds.v1alpha1.scanplane.io in all namespaces",)
        group.create_task(end.wait(), name=feeds.get_name())
        watches.look()
        assert watches.ended == ()
        assert not scanners.done()
        end.set()
