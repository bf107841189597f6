"""Pausing and resuming, for every kind."""

import pytest

from support.operator_world import World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture
def world() -> World:
    return settled_world()


@pytest.mark.parametrize(
    ("resource", "edit", "expected"),
    [
        ("DataPlane/default", {"gateway": {"maxClients": 5}}, [GATEWAY]),
        ("Feed/massive", {"massive": {"feed": "Nasdaq"}}, [LISTENER]),
        ("Market/us-stocks", {"calendar": "XLON"}, [ANALYZER]),
        ("Subscription/seconds", {"channels": ["Trades"]}, [ANALYZER, LISTENER]),
        ("Scanner/gappers", {"where": "price >= 3.0"}, [ANALYZER]),
    ],
)
def test_a_paused_resource_is_applied_when_it_is_resumed(
    world: World, resource: str, edit: dict[str, object], expected: list[str]
) -> None:
    world.pause(resource)
    world.settle()
    assert world.ready(resource)[0] == "True"
    world.patch(resource, **edit)
    world.settle()
    assert world.rolled() == []
    assert world.condition(resource, "Paused")[0] == "True"
    assert world.ready(resource) == ("False", "Paused")
    assert "generation 2 waits" in world.condition(resource, "Ready")[2]
    world.forget_operator()
    world.settle()
    assert world.rolled() == []
    world.resume(resource)
    world.settle()
    assert world.rolled() == expected
    assert world.ready(resource) == ("True", "RolledOut")
    assert world.condition(resource, "Paused")[:2] == ("False", "NotPaused")


def test_a_paused_feed_is_not_mended_and_not_rolled_by_others(world: World) -> None:
    world.pause("Feed/massive")
    world.settle()
    world.deployment(LISTENER)["spec"]["replicas"] = 0
    world.secrets["massive"]["apiKey"] = "another"
    world.patch("Subscription/seconds", symbols=["AAPL"])
    world.make_pass()
    assert world.deployment(LISTENER)["spec"]["replicas"] == 0
    assert world.rolled() == []
    assert world.condition("Subscription/seconds", "Progressing") == (
        "False",
        "WorkloadPaused",
        "listener-massive goes on as before: Feed/massive is paused",
    )
    world.resume("Feed/massive")
    world.settle()
    assert world.rolled() == [LISTENER]


def test_a_scanner_of_a_paused_market_is_not_ready_before_it_runs(world: World) -> None:
    world.pause("Market/us-stocks")
    world.settle()
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    assert world.ready("Scanner/gappers") == ("False", "WorkloadPaused")
    assert world.ready("Scanner/volume")[0] == "True"
    assert world.ready("Market/us-stocks")[0] == "True"


def test_a_resource_that_was_born_paused_runs_nothing(world: World) -> None:
    world.apply("{kind: Scanner, metadata: {name: late, annotations: {scanplane.io/paused: 'true'}}, "
                "spec: {marketRef: {name: us-stocks}, board: {rankBy: volume}}}")  # fmt: skip
    world.settle()
    assert world.rolled() == []
    assert world.condition("Scanner/late", "Accepted")[:2] == ("Unknown", "Paused")
    world.resume("Scanner/late")
    world.settle()
    assert world.rolled() == [ANALYZER]


@pytest.mark.parametrize("value", ["True", "yes", "1", "on"])
def test_an_annotation_that_pauses_nothing_is_said(world: World, value: str) -> None:
    world.annotate("Feed/massive", "scanplane.io/paused", value)
    made = world.make_pass()
    assert world.condition("Feed/massive", "Paused") == (
        "False",
        "UnknownValue",
        f"scanplane.io/paused is '{value}' and pauses nothing: write 'true', or remove it",
    )
    assert [reason for _, reason, _ in made.told()] == ["UnknownValue"]
    assert world.make_pass().is_nothing
