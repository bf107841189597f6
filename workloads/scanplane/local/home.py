"""``scanplane up``: files watched, plans applied, and everything that happens told in order."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import Broker
from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from scanplane.gateway.role import Gateway
from scanplane.local.files import Fingerprint, InputError, fingerprint, read_sources
from scanplane.local.roles import make_role
from scanplane.local.supervisor import Change, Supervisor
from scanplane.local.world import NAMESPACE, WITHHELD, World, build_world
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    ListenerConfiguration,
    RoleConfiguration,
    SecretKey,
)
from scanplane.plan.inventory import ResourceKey
from scanplane.resources.documents import SourceText
from scanplane.resources.kinds import Kind
from scanplane.roles.interface import Role, RoleServices
from scanplane.roles.publishing import StatusPublisher
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.logs import with_fields
from scanplane.telemetry.setup import Telemetry

__all__ = ["Home", "HomeSettings"]

_LOG = with_fields(logging.getLogger("scanplane.local"), role="home")
WATCH_S = 0.25
SETTLE_S = 0.05
SETTLE_LOOKS = 20


class HomeSettings(Struct, frozen=True, kw_only=True):
    """What to run. ``replacements`` are made in the text of every file before it is parsed (a demo's free port).

    ``host`` is the address that the gateway listens on: this machine alone, unless somebody says otherwise.
    """

    paths: Sequence[Path]
    replacements: Mapping[str, str] = {}
    watch: bool = True
    host: str = "127.0.0.1"


class Home:
    """A plan in one process. ``run`` lives until it is told to stop."""

    def __init__(self, settings: HomeSettings) -> None:
        self._settings = settings
        self._telemetry: Telemetry | None = None
        self._brokers: dict[str | None, Broker] = {}
        self._caches: dict[str | None, Cache] = {}
        self._world: World | None = None
        self._supervisor: Supervisor | None = None
        self._loaded: Fingerprint = ()
        self.changes: list[Change] = []
        self.started = asyncio.Event()

    @property
    def cache(self) -> Cache:
        """The cache that the roles use now."""
        assert self._world is not None
        gateway = self._world.plan.configurations["gateway"]
        return self._cache_at(gateway.services.cache_url)

    @property
    def roles(self) -> Mapping[str, Role]:
        """What runs now, by instance name."""
        return {} if self._supervisor is None else self._supervisor.roles

    @property
    def gateway_url(self) -> str:
        """Where people look; empty while no gateway runs."""
        gateway = self.roles.get("gateway")
        return gateway.url if isinstance(gateway, Gateway) else ""

    def load(self) -> World:
        """Read the files and plan. Raises InputError if they can't be used at all.

        What is written from now on is a change, however long it takes until somebody looks for one.
        """
        self._loaded = fingerprint(self._settings.paths)
        world = build_world(self._read(), os.environ, self._world)
        if self._world is None and not any(name != "gateway" for name in world.plan.configurations):
            for problem in world.problems:
                _LOG.error("%s", problem)
            nothing = "nothing to run: it takes a Feed, a Market and a Subscription that are accepted"
            raise InputError(WITHHELD if world.plan.is_withheld else nothing)
        return world

    async def run(self, world: World, telemetry: Telemetry, stop: asyncio.Event) -> None:
        """Run *world* and what the files become, until *stop*. Raises InputError if something can't start at first."""
        self._telemetry = telemetry
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            supervisor = self._supervisor = await stack.enter_async_context(
                Supervisor(self._make_role, self._accompany)
            )
            async with TaskScope() as scope:
                scope.accompany(self._sample(telemetry), "samples figures")
                scope.accompany(self._follow_files(supervisor, world), "follows files")
                await scope.run(_until(stop), "home")

    async def _follow_files(self, supervisor: Supervisor, world: World) -> None:
        """Start what the files say, then apply what they become. Raises InputError if something can't start at first."""
        await self._apply(supervisor, world)
        failed = [change for change in self.changes if change.error is not None]
        if failed:
            raise InputError(f"{failed[0].instance} can't start: {failed[0].error}")
        self.started.set()
        await self._watch(supervisor)

    async def _watch(self, supervisor: Supervisor) -> None:
        """Apply what the files say whenever they change. There is no waiting for a file but looking at it."""
        while self._settings.watch:
            await asyncio.sleep(WATCH_S)
            now = fingerprint(self._settings.paths)
            if now == self._loaded:
                continue
            await self._settle(now)
            try:
                world = self.load()
            except InputError as error:
                _LOG.error("%s; what ran goes on", error)  # the place and the mend, no traceback
                continue
            await self._apply(supervisor, world)

    async def _settle(self, now: Fingerprint) -> None:
        """Wait until whoever writes has paused: a file is often emptied first, and several are saved at once."""
        for _ in range(SETTLE_LOOKS):
            await asyncio.sleep(SETTLE_S)
            before, now = now, fingerprint(self._settings.paths)
            if now == before:
                return

    async def _apply(self, supervisor: Supervisor, world: World) -> None:
        for problem in world.problems:
            _LOG.error("%s", problem)
        for remark in world.remarks:
            _LOG.warning("%s", remark)
        self._world = world
        changes = await supervisor.apply(world.plan.configurations)
        self.changes.extend(changes)
        if not changes and self.started.is_set():
            _LOG.info("the files changed and nothing that runs is different")

    def _read(self) -> list[SourceText]:
        sources = read_sources(self._settings.paths)
        for old, new in self._settings.replacements.items():
            sources = [SourceText(source.name, source.text.replace(old, new)) for source in sources]
        return sources

    def _make_role(self, configuration: RoleConfiguration) -> Role:
        assert self._world is not None
        assert self._telemetry is not None
        services = RoleServices(
            broker=self._broker_at(configuration.services.broker_url),
            cache=self._cache_at(configuration.services.cache_url),
            secrets=self._world.secrets,
            files=self._folder_of(configuration),
        )
        return make_role(
            configuration,
            services,
            self._telemetry,
            gateway_host=self._settings.host,
            gateway_metrics=self._metrics,
        )

    async def _metrics(self) -> bytes:
        """Return the metrics of every role of this process, of this moment."""
        assert self._telemetry is not None
        self._telemetry.sample()
        return await asyncio.to_thread(self._telemetry.prometheus_text)

    def _folder_of(self, configuration: RoleConfiguration) -> Path:
        """Return where relative paths in a resource start from: the folder of the file that it stands in."""
        assert self._world is not None
        match configuration:
            case ListenerConfiguration(feed=feed):
                key = ResourceKey(Kind.FEED, feed)
            case AnalyzerConfiguration(market=market):
                key = ResourceKey(Kind.MARKET, market)
            case _:
                return Path()
        file = self._world.files.get(key)
        return Path() if file is None else Path(file).parent

    async def _accompany(self, role: Role) -> None:
        """Publish a role's live figures for as long as it lives."""
        assert self._telemetry is not None
        publisher = StatusPublisher(self.cache, NAMESPACE, role)
        self._telemetry.register_role(role)
        try:
            await publisher.run()
        finally:
            self._telemetry.unregister_role(role)
            await publisher.finish()

    async def _sample(self, telemetry: Telemetry) -> None:
        """Take the roles' figures for exports, which run in a thread of their own."""
        while True:
            telemetry.sample()
            await asyncio.sleep(1)

    def _broker_at(self, key: SecretKey | None) -> Broker:
        url = self._url(key)
        if url not in self._brokers:
            self._brokers[url] = open_broker(url, NAMESPACE)
        return self._brokers[url]

    def _cache_at(self, key: SecretKey | None) -> Cache:
        url = self._url(key)
        if url not in self._caches:
            self._caches[url] = open_cache(url, NAMESPACE)
        return self._caches[url]

    def _url(self, key: SecretKey | None) -> str | None:
        assert self._world is not None
        return None if key is None else self._world.secrets.read(key)

    async def _close(self) -> None:
        for broker in self._brokers.values():
            await broker.close()
        for cache in self._caches.values():
            await cache.close()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
