"""Where traces end: one span for each traced part of a board, when it is published."""

import asyncio
import time

import msgspec
import pytest

from scanplane.gateway.hub import Hub
from scanplane.gateway.publishing import Publisher
from scanplane.gateway.view import View
from scanplane.marketdata.results import BoardPart
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.traces import UNTRACED
from support.gateway import SECOND_NS, TICK_NS, part_of
from support.traced import Traced, carried, parent


class Scene:
    """A gateway's way from a part to the clients, without cache and sockets."""

    def __init__(self) -> None:
        self.traced = Traced()
        self.hub = Hub(time.monotonic_ns)
        self._view = View()
        self._publisher = Publisher(
            self._view,
            self.hub,
            max_updates_per_second=1_000_000.0,
            receipt_to_gateway=LatencyHistogram("receipt_to_gateway", "Not looked at."),
            traces=self.traced.traces,
        )

    def put(self, part: BoardPart, *, pushed: bool = True) -> None:
        assert self._view.put_part(part, pushed=pushed)
        self._publisher.board_changed((part.market, part.scanner), part if pushed else None)

    def remove(self, part: BoardPart) -> None:
        assert self._view.drop_part(part)
        self._publisher.board_removed((part.market, part.scanner))

    async def publish(self) -> None:
        """Run the publisher until it has nothing to do."""
        task = asyncio.create_task(self._publisher.run())
        async with asyncio.timeout(20):
            while self._publisher.schedule.next_due_ns() is not None:  # noqa: ASYNC110  # nobody tells when it is done
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def part(
        self, second: int, *, traced: bool = True, partition: str = "0-of-1", scanner: str = "gappers"
    ) -> BoardPart:
        traceparent = self.traced.traces.batch_context("cache.write") if traced else UNTRACED
        part = part_of(scanner, tick_ns=TICK_NS + second * SECOND_NS, partition=partition)
        return msgspec.structs.replace(part, traceparent=traceparent)

    def published(self, *parts: BoardPart) -> bool:
        """Whether these parts and no others were recorded as published, each once."""
        found = sorted(parent(span) for span in self.traced.named("gateway.publish"))
        return found == sorted(carried(part.traceparent) for part in parts)


async def test_a_traced_part_is_recorded_once_from_its_arrival_to_its_publication() -> None:
    scene = Scene()
    part = scene.part(1, partition="0-of-2")
    before_ns = time.time_ns()
    scene.put(part)
    arrived_ns = time.time_ns()
    assert scene.published()
    await scene.publish()
    scene.put(scene.part(1, traced=False, partition="1-of-2"))  # the board is published again, with the same part
    await scene.publish()
    assert scene.hub.counts.published == 2
    assert scene.published(part)
    (span,) = scene.traced.named("gateway.publish")
    assert before_ns <= span.start_time <= arrived_ns <= span.end_time
    assert span.attributes == {"market": "us-stocks", "scanner": "gappers"}


async def test_each_board_and_each_of_its_partitions_ends_its_own_trace() -> None:
    scene = Scene()
    parts = [scene.part(1, partition="0-of-2"), scene.part(1, partition="1-of-2"), scene.part(1, scanner="losers")]
    for part in parts:
        scene.put(part)
    await scene.publish()
    assert scene.hub.counts.published == 2
    assert scene.published(*parts)


async def test_a_part_that_was_replaced_before_anybody_saw_it_was_not_published() -> None:
    scene = Scene()
    newest = scene.part(2)
    scene.put(scene.part(1))
    scene.put(newest)
    await scene.publish()
    assert scene.published(newest)
    scene.put(scene.part(3))
    scene.put(scene.part(4, traced=False))
    await scene.publish()
    assert scene.published(newest)
    assert scene.hub.counts.published == 2


async def test_what_was_read_is_no_passage_of_a_batch() -> None:
    scene = Scene()
    scene.put(scene.part(1), pushed=False)
    await scene.publish()
    scene.put(scene.part(2))
    scene.put(scene.part(3), pushed=False)
    await scene.publish()
    assert scene.hub.counts.published == 2
    assert scene.published()


async def test_a_board_that_is_gone_leaves_no_trace_to_the_next_of_its_name() -> None:
    scene = Scene()
    part = scene.part(1)
    scene.put(part)
    scene.remove(part)
    scene.put(scene.part(2, traced=False, partition="0-of-2"))
    await scene.publish()
    assert scene.hub.counts.published == 1
    assert scene.published()
