"""What goes with what, and what stays."""

import pytest
import yaml

from support.operator_world import US_STOCKS, World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture
def world() -> World:
    return settled_world()


@pytest.mark.parametrize(
    ("resource", "left"),
    [
        ("Scanner/gappers", [ANALYZER, GATEWAY, LISTENER]),
        ("Feed/massive", [GATEWAY]),
        ("Market/us-stocks", [GATEWAY]),
        ("Subscription/seconds", [GATEWAY]),
    ],
)
def test_a_deleted_resource_takes_its_workloads_with_it(world: World, resource: str, left: list[str]) -> None:
    deleted = world.resource(resource)
    world.delete(resource)
    world.settle()
    assert world.instances() == left
    world.apply(
        yaml.safe_dump(
            {"kind": deleted["kind"], "metadata": {"name": deleted["metadata"]["name"]}, "spec": deleted["spec"]}
        )
    )
    world.settle()
    assert world.instances() == [ANALYZER, GATEWAY, LISTENER]
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)


def test_a_deleted_feed_is_said_of_what_refers_to_it(world: World) -> None:
    world.delete("Feed/massive")
    world.settle()
    assert world.condition("Subscription/seconds", "Accepted")[:2] == ("False", "ReferenceNotFound")
    assert world.condition("Market/us-stocks", "Ready")[:2] == ("True", "NotUsed")
    assert world.condition("Market/us-stocks", "DataFlowing")[:2] == ("False", "NotUsed")
    assert "no accepted Subscription" in world.condition("Scanner/gappers", "Available")[2]


def test_figures_of_what_runs_no_more_are_not_shown(world: World) -> None:
    world.report(LISTENER, {"streaming": 1, "events_total": 5})
    world.settle()
    assert world.status("Feed/massive")["connection"] == "Streaming"
    world.delete("Subscription/seconds")
    world.settle()
    assert "connection" not in world.status("Feed/massive")
    assert world.status("Market/us-stocks")["scannerCount"] == 0


def test_nothing_is_touched_while_there_is_no_data_plane(world: World) -> None:
    world.report(ANALYZER, {"session": 2, "symbols": 3})
    world.settle()
    world.delete("DataPlane/default")
    assert world.instances() == [ANALYZER, LISTENER]  # its own gateway went with it
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.patch("Feed/massive", massive={"feed": "Nasdaq"})
    passes = world.settle()
    assert [made.writes for made in passes] == [[]] * len(passes)
    assert world.ready("Feed/massive") == ("False", "ServiceRequired")
    for kind in ("Available", "Progressing", "DataFlowing"):
        assert world.condition("Market/us-stocks", kind)[:2] == ("Unknown", "NoDataPlane")
    assert world.status("Market/us-stocks")["partitions"] == 1
    assert world.status("Market/us-stocks")["symbolCount"] == 3
    world.apply(US_STOCKS.partition("---")[0])
    world.settle()
    assert world.instances() == [ANALYZER, GATEWAY, LISTENER]
    assert world.rolled() == [ANALYZER, LISTENER]


def test_a_resource_that_is_being_deleted_is_not_there_any_more(world: World) -> None:
    world.resource("Scanner/gappers")["metadata"]["deletionTimestamp"] = "2027-01-01T00:00:00Z"
    made = world.make_pass()
    assert world.take_rolls() == [(ANALYZER, "ScannerChanged (Scanner/gappers removed)")]
    assert "Scanner/gappers" not in {str(change.key) for change in made.statuses}


def test_an_owner_that_was_made_anew_owns_what_is_there_still(world: World) -> None:
    world.resource("Feed/massive")["metadata"]["uid"] = "anew"
    del world.resource("Feed/massive")["status"]
    world.make_pass()
    owners = world.deployment(LISTENER)["metadata"]["ownerReferences"]
    assert [each["uid"] for each in owners] == ["anew"]
    world.settle()
    assert world.rolled() == []
