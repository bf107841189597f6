import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from scanplane.broker.interface import BatonHold, Broker, BrokerUnavailableError
from scanplane.broker.memory import MemoryBroker
from scanplane.cache.interface import CacheUnavailableError, FencedError
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.batons import serve_with_baton
from scanplane.roles.lifecycle import Lifecycle
from scanplane.telemetry.status import Phase

PATIENCE_SECONDS = 10


class Hold:
    """A hold whose loss the test decides."""

    def __init__(self, generation: int, memo: bytes) -> None:
        self.generation = generation
        self.memo = memo
        self.abandoned = False
        self.lost = asyncio.Event()
        self.left = b""

    def leave(self, memo: bytes) -> None:
        self.left = memo


class Batons(Broker):
    """One baton that can be refused, lost and counted; what else a broker does is not asked here."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self.refusals: list[Exception] = []
        self.generation = 0
        self.memo = b""
        self.holds: list[Hold] = []
        self.released = 0

    @asynccontextmanager
    async def baton(self, name: str) -> AsyncIterator[BatonHold]:
        assert name == "feed/massive"
        if self.refusals:
            raise self.refusals.pop(0)
        async with self._free:
            self.generation += 1
            hold = Hold(self.generation, self.memo)
            self.holds.append(hold)
            try:
                yield hold
            finally:
                await asyncio.sleep(0)  # a real release waits for the broker: it has to survive a cancellation
                self.memo = hold.left
                self.released += 1


class Scene:
    """One role under a baton."""

    def __init__(self, batons: Batons) -> None:
        self.batons = batons
        self.stop = asyncio.Event()
        self.lifecycle = Lifecycle(role="listener", instance="listener-massive", configuration="abc")
        self.started: asyncio.Queue[BatonHold] = asyncio.Queue()
        self.ended: list[str] = []
        self.drain_seconds = 5.0

    async def work_until_stopped(self, hold: BatonHold) -> None:
        self.started.put_nowait(hold)
        try:
            await self.stop.wait()
            hold.leave(b"until 17")
            self.ended.append("finished")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def serve(self, work: Callable[[BatonHold], object] | None = None) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serve_with_baton(
                self.batons,
                "feed/massive",
                work or self.work_until_stopped,  # type: ignore[arg-type]  # tests give functions of several shapes
                self.stop,
                self.lifecycle,
                drain_seconds=self.drain_seconds,
                backoff=Backoff(first_seconds=0.001, longest_seconds=0.01),
            )


@pytest.fixture
async def scene() -> Scene:
    return Scene(Batons())


async def test_work_finishes_on_a_stop_and_leaves_its_memo(scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        assert scene.lifecycle.phase is Phase.ACTIVE
        assert scene.lifecycle.generation == 1
        scene.stop.set()
    assert scene.ended == ["finished"]
    assert scene.batons.memo == b"until 17"
    assert scene.lifecycle.phase is Phase.DRAINING


async def test_a_standby_takes_over_when_the_holder_is_stopped(scene: Scene) -> None:
    successor = Scene(scene.batons)
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        group.create_task(successor.serve())
        await successor.lifecycle.standby.wait()
        assert not successor.lifecycle.active.is_set()
        scene.stop.set()
        hold = await successor.started.get()
        assert (hold.generation, hold.memo) == (2, b"until 17")
        successor.stop.set()
    assert (scene.ended, successor.ended) == (["finished"], ["finished"])


async def test_a_standby_that_is_stopped_ends_without_having_worked(scene: Scene) -> None:
    standby = Scene(scene.batons)
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        waiting = group.create_task(standby.serve())
        await standby.lifecycle.standby.wait()
        standby.stop.set()
        await waiting
        assert standby.ended == []
        assert scene.lifecycle.phase is Phase.ACTIVE
        scene.stop.set()


async def test_a_lost_baton_cancels_the_work_and_it_begins_again_with_the_next(scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        scene.batons.holds[0].lost.set()
        hold = await scene.started.get()
        assert scene.ended == ["cancelled"]
        assert hold.generation == 2
        assert scene.lifecycle.phase is Phase.ACTIVE
        assert scene.lifecycle.status().problems == ()
        scene.stop.set()
    assert scene.ended == ["cancelled", "finished"]


async def test_a_baton_that_is_lost_while_draining_cancels_the_work(scene: Scene) -> None:
    draining = asyncio.Event()

    async def drain_for_ever(hold: BatonHold) -> None:
        scene.started.put_nowait(hold)
        await scene.stop.wait()
        draining.set()
        await asyncio.Event().wait()

    scene.drain_seconds = PATIENCE_SECONDS * 10
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve(drain_for_ever))
        await scene.started.get()
        scene.stop.set()
        await draining.wait()
        scene.batons.holds[0].lost.set()
    assert scene.batons.released == 1


async def test_a_broker_that_is_away_is_tried_again_and_shown(scene: Scene) -> None:
    scene.batons.refusals = [BrokerUnavailableError("can't reach rabbit:5672") for _ in range(5)]
    shown: list[tuple[str, ...]] = []
    report = scene.lifecycle.report_problem

    def remember(subject: str, text: str) -> None:
        report(subject, text)
        shown.append(scene.lifecycle.status().problems)

    scene.lifecycle.report_problem = remember  # type: ignore[method-assign]  # listens in
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        scene.stop.set()
    assert shown == [("listener-massive can't work: can't reach rabbit:5672; trying again",)] * 5
    assert scene.lifecycle.status().problems == ()


async def test_a_stop_ends_the_waiting_for_a_broker_that_is_away(scene: Scene) -> None:
    scene.batons.refusals = [BrokerUnavailableError("away") for _ in range(100_000)]
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.lifecycle.standby.wait()
        scene.stop.set()
    assert scene.ended == []


@pytest.mark.parametrize("error", [BrokerUnavailableError("x"), CacheUnavailableError("x"), FencedError("x")])
async def test_work_that_lost_a_service_begins_again_under_a_new_hold(scene: Scene, error: Exception) -> None:
    async def fail_once(hold: BatonHold) -> None:
        if hold.generation == 1:
            raise error
        await scene.work_until_stopped(hold)

    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve(fail_once))
        assert (await scene.started.get()).generation == 2
        scene.stop.set()
    assert scene.batons.released == 2


async def test_work_that_is_cancelled_from_within_begins_again(scene: Scene) -> None:
    async def fail_once(hold: BatonHold) -> None:
        if hold.generation == 1:
            raise asyncio.CancelledError
        await scene.work_until_stopped(hold)

    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve(fail_once))
        assert (await scene.started.get()).generation == 2
        scene.stop.set()


async def test_any_other_error_of_the_work_is_raised_after_the_baton_is_released(scene: Scene) -> None:
    async def fail(_: BatonHold) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await scene.serve(fail)
    assert scene.batons.released == 1


async def test_an_error_that_the_loss_of_the_baton_caused_does_not_end_the_role(scene: Scene) -> None:
    async def fail_when_lost(hold: BatonHold) -> None:
        scene.started.put_nowait(hold)
        if hold.generation == 1:
            hold.lost.set()
            raise OSError("connection reset")
        await scene.stop.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve(fail_when_lost))
        await scene.started.get()
        assert (await scene.started.get()).generation == 2
        scene.stop.set()


async def test_work_that_does_not_finish_in_time_is_cancelled_and_told(scene: Scene) -> None:
    scene.drain_seconds = 0.01
    was_cancelled = asyncio.Event()

    async def never_finish(hold: BatonHold) -> None:
        scene.started.put_nowait(hold)
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve(never_finish))
        await scene.started.get()
        scene.stop.set()
    assert was_cancelled.is_set()
    assert scene.lifecycle.status().problems == ("listener-massive did not finish within 0.01 s and was cancelled",)


async def test_work_that_is_done_ends_the_serving_without_a_stop(scene: Scene) -> None:
    async def work(hold: BatonHold) -> None:
        hold.leave(b"all of it")

    await scene.serve(work)
    assert scene.batons.memo == b"all of it"
    assert not scene.stop.is_set()


async def test_cancelling_releases_the_baton_and_ends_the_work(scene: Scene) -> None:
    serving = asyncio.create_task(scene.serve())
    await scene.started.get()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert scene.ended == ["cancelled"]
    assert scene.batons.released == 1


async def test_cancelling_a_standby_leaves_the_holder_alone(scene: Scene) -> None:
    standby = Scene(scene.batons)
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.serve())
        await scene.started.get()
        waiting = asyncio.create_task(standby.serve())
        await standby.lifecycle.standby.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        scene.stop.set()
    assert scene.ended == ["finished"]
    assert scene.batons.released == 1


def test_pauses_grow_stay_bounded_and_begin_anew() -> None:
    backoff = Backoff(first_seconds=0.1, longest_seconds=2.0)
    pauses = [backoff.next_seconds() for _ in range(2000)]
    for tries, pause in enumerate(pauses):
        bound = min(2.0, 0.1 * 2.0 ** min(tries, 30))
        assert bound / 2 <= pause <= bound
    backoff.reset()
    assert backoff.next_seconds() <= 0.1


async def test_a_wait_ends_with_the_stop() -> None:
    stop = asyncio.Event()
    assert await wait_unless(stop, 0.001) is False
    asyncio.get_running_loop().call_soon(stop.set)
    assert await wait_unless(stop, 3600) is True


async def test_roles_hand_over_in_order_on_a_broker_in_memory() -> None:
    broker = MemoryBroker()
    order: list[tuple[str, bytes]] = []

    async def live(name: str, stop: asyncio.Event, started: asyncio.Event) -> None:
        async def work(hold: BatonHold) -> None:
            order.append((name, hold.memo))
            started.set()
            await stop.wait()
            hold.leave(name.encode())

        await serve_with_baton(
            broker, "feed/massive", work, stop, Lifecycle(role="listener", instance=name, configuration="abc")
        )

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        stops = [asyncio.Event() for _ in range(3)]
        started = [asyncio.Event() for _ in range(3)]
        for number in range(3):
            group.create_task(live(f"listener-{number}", stops[number], started[number]))
        for number in range(3):
            await started[number].wait()
            stops[number].set()
    await broker.close()
    assert order == [("listener-0", b""), ("listener-1", b"listener-0"), ("listener-2", b"listener-1")]
