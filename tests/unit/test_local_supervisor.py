"""The restart contract at home: the old goes on until the new is ready, and one failure is one role's."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import pytest

from scanplane.local.supervisor import Action, Supervisor
from scanplane.local.world import build_world
from scanplane.plan.configuration import RoleConfiguration
from scanplane.resources.documents import SourceText
from scanplane.roles.interface import Role
from scanplane.telemetry.status import Phase, RoleStatus

PATIENCE_S = 10
NAME = "analyzer-us-stocks-0"

RESOURCES = """
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: replay}
spec: {provider: Replay, replay: {path: a.recording}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec: {assetClass: Stocks}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: trades}
spec:
  feedRef: {name: replay}
  marketRef: {name: us-stocks}
  channels: [Trades]
  symbols: ["*"]
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec:
  marketRef: {name: us-stocks}
  board: {rankBy: volume, limit: LIMIT}
"""


def everything(partitions: int) -> dict[str, RoleConfiguration]:
    """Return the configurations of a market in a number of *partitions*, but for the gateway's."""
    text = RESOURCES.replace("LIMIT", "10").replace("Stocks}", f"Stocks, analyzer: {{partitions: {partitions}}}}}")
    world = build_world([SourceText("all.yaml", text)], {})
    assert not world.problems
    return {name: each for name, each in world.plan.configurations.items() if name != "gateway"}


def an_analyzer(limit: int) -> Mapping[str, RoleConfiguration]:
    """Return an analyzer's configuration, another one for each *limit*."""
    world = build_world([SourceText("all.yaml", RESOURCES.replace("LIMIT", str(limit)))], {})
    assert not world.problems
    return {NAME: world.plan.configurations[NAME]}


class ARole:
    """A role that notes its life; *prepare* runs before it stands by, *work* after."""

    def __init__(self, notes: list[str], label: str, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        self.name = NAME
        self.standby = asyncio.Event()
        self.active = asyncio.Event()
        self.broken = asyncio.Event()
        self._notes = notes
        self._label = label
        self._prepare = prepare

    def status(self) -> RoleStatus:
        return RoleStatus(
            role="analyzer",
            instance=NAME,
            configuration=self._label,
            phase=Phase.STARTING,
            version="",
            started_ns=0,
            updated_ns=0,
            problems=("the broker is away",),
        )

    async def run(self, stop: asyncio.Event) -> None:
        if self._prepare is not None:
            await self._prepare()
        self._notes.append(f"{self._label} is ready")
        self.standby.set()
        waiting = {asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self.broken.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if self.broken.is_set():
            raise RuntimeError(f"{self._label} broke")
        self._notes.append(f"{self._label} has stopped")


class AHome:
    """What makes the roles: each as ``make`` says, or as it was made last."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.made: list[ARole] = []
        self.prepare: Callable[[], Awaitable[None]] | None = None
        self.refusals: list[Exception] = []
        self.names = False

    def make_role(self, configuration: RoleConfiguration) -> Role:
        if self.refusals:
            raise self.refusals.pop()
        label = configuration.name if self.names else f"role {len(self.made) + 1}"
        self.made.append(ARole(self.notes, label, self.prepare))
        return self.made[-1]

    async def accompany(self, _role: Role) -> None:
        await asyncio.Event().wait()

    def supervisor(self) -> Supervisor:
        return Supervisor(self.make_role, self.accompany)


@pytest.fixture
def home() -> AHome:
    return AHome()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # roles tell nobody that they were made
            await asyncio.sleep(0.01)


async def test_a_changed_configuration_is_ready_before_the_old_one_is_told_to_stop(home: AHome) -> None:
    async with home.supervisor() as supervisor:
        started = await supervisor.apply(an_analyzer(10))
        restarted = await supervisor.apply(an_analyzer(20))
        unchanged = await supervisor.apply(an_analyzer(20))
        assert [(change.action, change.error) for change in started + restarted] == [
            (Action.STARTED, None),
            (Action.RESTARTED, None),
        ]
        assert str(restarted[0].restart) == "ScannerChanged (Scanner/volume edited)"
        assert unchanged == []
        assert home.notes == ["role 1 is ready", "role 2 is ready", "role 1 has stopped"]
        assert supervisor.roles == {NAME: home.made[1]}
    assert home.notes[-1] == "role 2 has stopped"


async def test_a_configuration_that_does_not_get_ready_leaves_the_old_one_running(home: AHome) -> None:
    async def fail() -> None:
        raise ValueError("no such file")

    async with home.supervisor() as supervisor:
        await supervisor.apply(an_analyzer(10))
        home.prepare = fail
        (change,) = await supervisor.apply(an_analyzer(20))
        assert change.error == "no such file"
        assert supervisor.roles == {NAME: home.made[0]}
        home.prepare = None
        (change,) = await supervisor.apply(an_analyzer(20))
        assert change.error is None
        assert supervisor.roles == {NAME: home.made[2]}


async def test_a_role_that_cannot_even_be_made_leaves_the_old_one_running(home: AHome) -> None:
    async with home.supervisor() as supervisor:
        await supervisor.apply(an_analyzer(10))
        home.refusals = [ValueError("the broker URL is not of the form amqp://")]
        (change,) = await supervisor.apply(an_analyzer(20))
        assert change.error == "the broker URL is not of the form amqp://"
        assert supervisor.roles == {NAME: home.made[0]}


async def test_a_role_that_is_not_ready_in_time_says_what_it_waits_for(
    home: AHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("scanplane.local.instance.READY_S", 0.05)
    monkeypatch.setattr("scanplane.local.instance.STOP_S", 0.05)
    home.prepare = wait_for_ever
    async with home.supervisor() as supervisor:
        (change,) = await supervisor.apply(an_analyzer(10))
    assert change.error == "it was not ready within 0.05 s: the broker is away"


async def test_a_role_that_breaks_begins_again_also_when_it_cannot_be_made_at_first(
    home: AHome, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.supervisor() as supervisor:
        await supervisor.apply(an_analyzer(10))
        home.refusals = [ValueError("not yet"), ValueError("not yet")]
        with caplog.at_level(logging.ERROR):
            home.made[0].broken.set()
            await until(lambda: len(home.made) == 2 and home.made[1].standby.is_set())
        assert supervisor.roles == {NAME: home.made[1]}
        assert len([record for record in caplog.records if "begins again" in record.getMessage()]) == 3


async def test_leaving_in_the_middle_of_a_start_stops_what_has_begun(home: AHome) -> None:
    begun = asyncio.Event()

    async def prepare_for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            home.notes.append("preparing has ended")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scanplane.local.instance.STOP_S", 0.05)
        async with home.supervisor() as supervisor:
            await supervisor.apply(an_analyzer(10))
            home.prepare = prepare_for_ever
            applying = asyncio.create_task(supervisor.apply(an_analyzer(20)))
            async with asyncio.timeout(PATIENCE_S):
                await begun.wait()
            applying.cancel()
            await asyncio.wait([applying])
        assert sorted(home.notes) == ["preparing has ended", "role 1 has stopped", "role 1 is ready"]


async def test_an_instance_that_is_not_wanted_any_more_is_stopped(home: AHome) -> None:
    async with home.supervisor() as supervisor:
        await supervisor.apply(an_analyzer(10))
        (change,) = await supervisor.apply({})
        assert change.action is Action.STOPPED
        assert supervisor.roles == {}
        assert home.notes == ["role 1 is ready", "role 1 has stopped"]


async def test_more_partitions_stand_by_before_the_listener_goes_there(home: AHome) -> None:
    home.names = True
    async with home.supervisor() as supervisor:
        await supervisor.apply(everything(1))
        home.notes.clear()
        await supervisor.apply(everything(3))
        assert home.notes == [
            "analyzer-us-stocks-0 is ready",
            "analyzer-us-stocks-0 has stopped",
            "analyzer-us-stocks-1 is ready",
            "analyzer-us-stocks-2 is ready",
            "listener-replay is ready",
            "listener-replay has stopped",
        ]


async def test_partitions_that_are_no_more_stay_until_the_listener_has_left_them(home: AHome) -> None:
    home.names = True
    async with home.supervisor() as supervisor:
        await supervisor.apply(everything(3))
        home.notes.clear()
        changes = await supervisor.apply(everything(1))
        assert home.notes[-3:] == [
            "listener-replay has stopped",
            "analyzer-us-stocks-1 has stopped",
            "analyzer-us-stocks-2 has stopped",
        ]
        assert [change.instance for change in changes if change.action is Action.STOPPED] == [
            "analyzer-us-stocks-1",
            "analyzer-us-stocks-2",
        ]


async def test_a_listener_does_not_go_where_an_analyzer_did_not_get_ready(home: AHome) -> None:
    home.names = True

    async def fail_if_new() -> None:
        if home.made[-1]._label == "analyzer-us-stocks-1":
            raise ValueError("no memory")

    async with home.supervisor() as supervisor:
        await supervisor.apply(everything(1))
        listener = supervisor.roles["listener-replay"]
        home.prepare = fail_if_new
        changes = await supervisor.apply(everything(2))
        assert [(change.instance, change.error) for change in changes if change.error is not None] == [
            ("analyzer-us-stocks-1", "no memory"),
            ("listener-replay", "it waits for analyzer-us-stocks-1, which did not get ready"),
        ]
        assert supervisor.roles["listener-replay"] is listener
        home.prepare = None
        changes = await supervisor.apply(everything(2))
        assert [change.error for change in changes] == [None, None]
        assert supervisor.roles["listener-replay"] is not listener


async def test_partitions_stay_for_a_listener_that_does_not_follow(home: AHome) -> None:
    home.names = True

    async def fail() -> None:
        raise ValueError("no memory")

    async with home.supervisor() as supervisor:
        await supervisor.apply(everything(3))
        home.prepare = fail
        await supervisor.apply(everything(1))
        assert len(supervisor.roles) == 4
        home.prepare = None
        await supervisor.apply(everything(1))
        assert sorted(supervisor.roles) == ["analyzer-us-stocks-0", "listener-replay"]


async def test_a_feed_that_is_no_more_lets_go_of_its_connection_before_another_begins(home: AHome) -> None:
    home.names = True
    async with home.supervisor() as supervisor:
        before = everything(1)
        await supervisor.apply(before)
        home.notes.clear()
        await supervisor.apply({name: each for name, each in before.items() if name.startswith("analyzer")})
        assert home.notes == ["listener-replay has stopped"]
