"""What is wrong leaves what runs alone, is said, and recovers by itself."""

import copy

import pytest
import yaml

from scanplane_operator.reading import referenced_secrets
from support.operator_world import US_STOCKS, World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"
WITH_FILES = {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "reference"}}}}


@pytest.fixture
def world() -> World:
    return settled_world()


BAD = [
    ("DataPlane/default", {"gateway": {"port": "high"}}, "InvalidSpec"),
    ("DataPlane/default", {"broker": {"urlSecretRef": {"name": "gone"}}}, "SecretNotFound"),
    ("DataPlane/default", {"cache": None}, "ServiceRequired"),
    ("Feed/massive", {"provider": "Bloomberg"}, "InvalidSpec"),
    ("Feed/massive", {"massive": {"apiKeySecretRef": {"key": "gone"}}}, "SecretNotFound"),
    ("Market/us-stocks", {"calendar": "MOON"}, "UnknownCalendar"),
    ("Market/us-stocks", {"sessions": {"premarket": "10:00"}}, "ConflictingSessions"),
    (
        "Market/us-stocks",
        {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "gone"}}}},
        "ReferenceNotFound",
    ),
    ("Subscription/seconds", {"marketRef": {"name": "gone"}}, "ReferenceNotFound"),
    ("Subscription/seconds", {"feedRef": {"name": "gone"}}, "ReferenceNotFound"),
    ("Subscription/seconds", {"channels": ["IndexValues"]}, "UnsupportedChannel"),
    ("Scanner/gappers", {"where": "gapp_percent > 3"}, "InvalidExpression"),
    ("Scanner/gappers", {"board": {"columns": ["prise"]}}, "UnknownFeature"),
    ("Scanner/gappers", {"board": None, "signal": None}, "InvalidSpec"),
]


@pytest.mark.parametrize(("resource", "edit", "reason"), BAD)
def test_a_bad_edit_leaves_the_last_good_one_running(
    world: World, resource: str, edit: dict[str, object], reason: str
) -> None:
    before = copy.deepcopy(world.resource(resource)["spec"])
    world.patch(resource, **edit)
    for _ in range(2):
        passes = world.settle()
        assert [made.writes for made in passes] == [[]] * len(passes)
        assert world.condition(resource, "Accepted")[:2] == ("False", reason)
        assert world.condition(resource, "Accepted")[2].endswith("; generation 1 goes on")
        assert world.ready(resource) == ("False", reason)
        assert world.condition(resource, "Available")[0] == "True"
        world.forget_operator()
    world.patch(resource, **dict.fromkeys(edit))
    world.patch(resource, **before)
    world.settle()
    assert world.rolled() == []
    assert world.ready(resource) == ("True", "RolledOut")


TAKEN_AWAY = [
    ("Quotes", "Feed/massive", {"massive": {"feed": "Delayed"}}),
    ("LimitUpLimitDown", "Market/us-stocks", {"assetClass": "Crypto"}),
]


@pytest.mark.parametrize(("channel", "edited", "edit"), TAKEN_AWAY)
def test_an_edit_that_takes_away_what_a_subscription_needs_ends_nothing_that_runs(
    channel: str, edited: str, edit: dict[str, object]
) -> None:
    world = World(US_STOCKS.replace("[SecondAggregates]", f"[SecondAggregates, {channel}]"))
    world.settle()
    before = copy.deepcopy(world.resource(edited)["spec"])
    world.patch(edited, **edit)
    passes = world.settle()
    assert [made.writes for made in passes] == [[]] * len(passes)
    assert world.instances() == [ANALYZER, GATEWAY, LISTENER]
    assert world.condition("Subscription/seconds", "Accepted")[0] == "False"
    for resource in ("Feed/massive", "Market/us-stocks"):
        assert world.ready(resource) == ("False", "SubscriptionNotAccepted")
    world.patch(edited, **before)
    world.settle()
    assert world.rolled() == []
    assert world.ready(edited) == ("True", "RolledOut")


def test_a_subscription_that_is_deleted_then_ends_what_ran_for_it() -> None:
    world = World(US_STOCKS.replace("[SecondAggregates]", "[SecondAggregates, Quotes]"))
    world.settle()
    world.patch("Feed/massive", massive={"feed": "Delayed"})
    world.settle()
    world.delete("Subscription/seconds")
    world.settle()
    assert world.instances() == [GATEWAY]
    assert world.ready("Feed/massive") == ("True", "NotUsed")


@pytest.mark.parametrize(
    ("secret", "affected"),
    [("massive", "Feed/massive"), ("services", "DataPlane/default")],
)
def test_what_runs_goes_on_without_its_secret_and_a_secret_made_anew_is_no_change(
    world: World, secret: str, affected: str
) -> None:
    kept = world.secrets.pop(secret)
    passes = world.settle()
    assert [made.writes for made in passes] == [[]] * len(passes)
    assert world.condition(affected, "Accepted")[:2] == ("False", "SecretNotFound")
    assert "generation 1 goes on" in world.condition(affected, "Accepted")[2]
    world.forget_operator()
    world.settle()
    world.secrets[secret] = kept
    world.settle()
    assert world.rolled() == []
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)


@pytest.mark.parametrize("gone", ["reference", "s.csv"])
def test_what_runs_goes_on_without_its_reference_data(world: World, gone: str) -> None:
    world.patch("Market/us-stocks", **WITH_FILES)
    world.settle()
    world.take_rolls()
    if gone == "reference":
        del world.config_maps["reference"]
    else:
        del world.config_maps["reference"]["s.csv"]
    world.patch("Scanner/gappers", where="price >= 3.0")
    passes = world.settle()
    assert [made.writes for made in passes] == [[]] * len(passes)
    assert world.condition("Scanner/gappers", "Progressing")[1] == "InputMissing"
    assert "reference" in world.condition("Scanner/gappers", "Progressing")[2]
    world.config_maps["reference"] = {"s.csv": "digest-1"}
    world.settle()
    assert world.take_rolls() == [(ANALYZER, "ScannerChanged (Scanner/gappers edited)")]


def test_a_resource_that_is_bad_from_the_first_keeps_nothing_else_from_running() -> None:
    world = World(US_STOCKS.replace("rankBy: volume", "rankBy: volyume"))
    world.settle()
    assert world.instances() == [ANALYZER, GATEWAY, LISTENER]
    assert world.ready("Scanner/gappers")[0] == "True"
    status, reason, message = world.condition("Scanner/volume", "Ready")
    assert (status, reason) == ("False", "InvalidExpression")
    assert message == "board.rankBy:1:1 unknown feature 'volyume'; did you mean volume?"


def test_what_was_accepted_by_another_version_and_is_bad_now_goes_on_running(world: World) -> None:
    """Neither the newest version nor the accepted one can be planned: what runs is not taken away."""
    world.patch("Feed/massive", provider="Bloomberg")
    world.status("Feed/massive")["accepted"]["spec"] = '{"provider": "Massive", "of": "another format"}'
    made = world.make_pass()
    assert LISTENER in world.instances()
    assert not [write for write in made.writes if "listener" in write]
    assert "goes on" not in world.condition("Feed/massive", "Accepted")[2]


@pytest.mark.parametrize("written", ["not JSON", "[]", "null", "{}", '{"provider": 3}'])
def test_a_status_written_by_hand_breaks_nothing(world: World, written: str) -> None:
    world.status("Feed/massive")["accepted"]["spec"] = written
    world.status("Feed/massive")["configuration"] = "0123456789"
    del world.status("Feed/massive")["conditions"]
    world.settle()
    assert world.rolled() == []
    assert world.ready("Feed/massive") == ("True", "RolledOut")
    assert yaml.safe_load(world.status("Feed/massive")["accepted"]["spec"]) == world.resource("Feed/massive")["spec"]


def test_a_status_that_names_paths_is_not_asked_for() -> None:
    spec = '{"aSecretRef": {"name": "../../kube-system/secrets/token"}, "bSecretRef": {"name": "fine.name"}}'
    assert referenced_secrets([{"spec": {}, "status": {"accepted": {"generation": 1, "spec": spec}}}]) == {"fine.name"}


OVERLAPPING = """
kind: Feed
metadata: {name: tape}
spec: {provider: Replay, replay: {path: /recordings/x}}
---
kind: Subscription
metadata: {name: aaa}
spec: {feedRef: {name: tape}, marketRef: {name: us-stocks}, channels: [SecondAggregates], symbols: [AAPL]}
"""


def test_a_new_resource_displaces_none_that_runs_whatever_it_is_called(world: World) -> None:
    world.apply(OVERLAPPING)
    for _ in range(2):
        assert [made.writes for made in world.settle()] == [[], []]
        world.forget_operator()
    assert world.condition("Subscription/aaa", "Accepted")[:2] == ("False", "OverlappingFeeds")
    assert world.ready("Subscription/seconds") == ("True", "RolledOut")
    world.delete("Subscription/seconds")
    world.settle()
    assert world.ready("Subscription/aaa") == ("True", "RolledOut")


def test_an_edit_displaces_none_that_runs_and_its_last_version_goes_on(world: World) -> None:
    world.apply(OVERLAPPING.replace("[SecondAggregates]", "[Trades]"))
    world.settle()
    assert world.ready("Subscription/aaa") == ("True", "RolledOut")
    world.take_rolls()
    world.patch("Subscription/aaa", channels=["Trades", "SecondAggregates"])
    world.settle()
    assert world.rolled() == []
    assert world.condition("Subscription/aaa", "Accepted")[:2] == ("False", "OverlappingFeeds")
    assert "generation 1 goes on" in world.condition("Subscription/aaa", "Accepted")[2]
