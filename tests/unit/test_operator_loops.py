"""Passes happen as often as there is something to see, and no more often."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from scanplane.resources.data_plane import LogLevel
from scanplane_operator.api import Api
from scanplane_operator.loops import MAX_CONCURRENT, NamespaceLoops
from scanplane_operator.observing import Observer
from scanplane_operator.reconcile import PassResult, Reconciler
from scanplane_operator.reports import Reporter
from scanplane_operator.settings import PodSettings, Settings

SETTINGS = Settings(pods=PodSettings(image="image:1"), resync_s=3600, log_level=LogLevel.INFO)
BUSY = [f"busy-{number}" for number in range(MAX_CONCURRENT)]
SEEN = PassResult(
    resources={("Scanner", "ready"): 1},
    children=1,
    workloads=1,
    gateway="",
    refers_to_secrets=frozenset(),
    refers_to_config_maps=frozenset(),
    secrets={},
    config_maps={},
    pods=(),
    refused=0,
    restarts=(),
)


class Passes(Reconciler):
    """Counts passes instead of making them; those over a busy namespace go on until it is let go."""

    def __init__(self, api: Api, observer: Observer, reporter: Reporter) -> None:
        super().__init__(api, observer, reporter, SETTINGS.pods, "here")
        self.begun: Counter[str] = Counter()
        self.let_go = asyncio.Event()

    async def reconcile(self, namespace: str) -> PassResult:
        self.begun[namespace] += 1
        if namespace in BUSY:
            await self.let_go.wait()
        return SEEN


@asynccontextmanager
async def running() -> AsyncIterator[tuple[NamespaceLoops, Passes]]:
    async with ApiClient(Configuration(host="http://127.0.0.1:9")) as client, aiohttp.ClientSession() as session:
        api = Api(client)
        observer, reporter = Observer(api, ()), Reporter(session)
        passes = Passes(api, observer, reporter)
        loops = NamespaceLoops(SETTINGS, passes, observer, reporter)
        task = asyncio.create_task(loops.run())
        try:
            async with asyncio.timeout(30):
                yield loops, passes
        finally:
            task.cancel()
            await asyncio.wait([task])


async def until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)


async def ended(loops: NamespaceLoops, namespace: str) -> None:
    """Wait for the end of a pass over *namespace*."""
    end = asyncio.Event()
    loops.pass_listeners.append(lambda state, _: end.set() if state.namespace == namespace else None)
    loops.wake(namespace)
    await end.wait()


async def test_what_comes_while_a_namespace_waits_for_its_turn_leads_to_one_pass() -> None:
    async with running() as (loops, passes):
        for namespace in BUSY:
            loops.wake(namespace)
        await until(lambda: passes.begun.total() == len(BUSY))
        loops.wake("desk")
        await until(lambda: "desk" in loops.states and loops.states["desk"].is_waiting)
        for is_edit in (True, False):
            loops.wake("desk", is_edit=is_edit)
        passes.let_go.set()
        await ended(loops, "another")  # it waits for longer, as nothing runs there yet
        assert passes.begun["desk"] == 1
        await ended(loops, "desk")
        assert passes.begun["desk"] == 2
