"""Live figures: what pods say of themselves, as it stands in a status, and when it is worth a write."""

import copy

import pytest

from scanplane.telemetry.status import Phase
from support.operator_world import US_STOCKS, World

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture(scope="module")
def settled() -> World:
    world = World()
    world.settle()
    return world


@pytest.fixture
def world(settled: World) -> World:
    return copy.deepcopy(settled)


def test_a_listener_tells_of_its_feed(world: World) -> None:
    figures = {
        "streaming": 1.0,
        "connects_total": 3.0,
        "events_total": 1000.0,
        "rejected_total": 2.0,
        "dropped_events_total": 5.0,
        "receipt_to_publish_p99_ms": 1.6,
        "event_time_unix_seconds": 1_800_000_000.9,
    }
    world.report(LISTENER, figures)
    world.now_s += 15
    world.report(LISTENER, figures | {"events_total": 16_000.0})
    world.make_pass()
    status = world.status("Feed/massive")
    told = {name: value for name, value in status.items() if name not in {"conditions", "accepted", "configuration"}}
    assert told == {
        "observedGeneration": 1,
        "connection": "Streaming",
        "eventsPerSecond": 1000,
        "lagP99Milliseconds": 2,
        "reconnectsTotal": 2,
        "rejectedEventsTotal": 2,
        "droppedEventsTotal": 5,
        "lastEventTime": "2027-01-15T08:00:00Z",
    }
    assert world.condition("Feed/massive", "DataFlowing")[:2] == ("True", "Flowing")
    assert world.condition("Subscription/seconds", "DataFlowing")[:2] == ("True", "Flowing")


def test_a_market_adds_up_its_partitions_and_says_nothing_of_a_part() -> None:
    world = World()
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    world.settle()
    first, second = "analyzer-us-stocks-0", "analyzer-us-stocks-1"
    scanners = {"gappers": {"matches": 3.0, "signals_total": 7.0}}
    figures = {"symbols": 10, "missing_batches_total": 1, "session": 2, "tick_to_board_p99_ms": 3}
    world.report(first, figures, scanners=scanners)
    world.make_pass()
    assert "symbolCount" not in world.status("Market/us-stocks")
    assert "matches" not in world.status("Scanner/gappers")
    assert world.status("Market/us-stocks")["session"] == "regular"
    figures |= {"symbols": 20, "missing_batches_total": 2, "tick_to_board_p99_ms": 9}
    world.report(second, figures, scanners=scanners)
    world.make_pass()
    status = world.status("Market/us-stocks")
    assert (status["symbolCount"], status["lostBatchesTotal"], status["lagP99Milliseconds"]) == (30, 3, 9)
    assert (status["scannerCount"], status["partitions"], status["readyPartitions"]) == (2, 2, 2)
    assert status["selector"] == "scanplane.io/market=us-stocks"
    assert world.status("Scanner/gappers")["matches"] == 6
    assert world.status("Scanner/gappers")["signalsTotal"] == 14


def test_a_subscription_is_told_of_where_it_is_the_only_one(world: World) -> None:
    figures = {
        "streaming": 1.0,
        "published_events_total": 100.0,
        "unacknowledged_topics": 2.0,
        "dropped_events_total": 3.0,
    }
    world.report(LISTENER, figures)
    world.report(ANALYZER, {"symbols": 9.0})
    world.now_s += 15
    world.report(LISTENER, figures | {"published_events_total": 400.0})
    world.make_pass()
    told = {"eventsPerSecond": 20, "symbolCount": 9, "unacknowledgedTopics": 2, "droppedEventsTotal": 3}
    assert told.items() <= world.status("Subscription/seconds").items()

    world.apply(
        US_STOCKS
        + """
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: minutes}
spec: {feedRef: {name: massive}, marketRef: {name: us-stocks}, channels: [MinuteAggregates], symbols: ["*"]}
"""
    )
    world.settle()
    assert not told.keys() & world.status("Subscription/minutes").keys(), "a share would be a guess"


def test_every_gateway_counts(world: World) -> None:
    for pod in ("pod-1", "pod-2"):
        world.report(GATEWAY, {"clients": 2, "deliveries_per_second": 10.4}, pod=pod)
        world.report(GATEWAY, {"clients": 3, "deliveries_per_second": 20.4}, pod=pod)
    world.make_pass()
    status = world.status("DataPlane/default")
    assert (status["clientCount"], status["deliveriesPerSecond"]) == (6, 40)
    assert (status["readyGateways"], status["workloadCount"], status["readyWorkloads"]) == (1, 3, 3)


@pytest.mark.parametrize("figure", ["session", "nonsense"])
def test_a_session_that_is_not_known_is_not_told(world: World, figure: str) -> None:
    world.report(ANALYZER, {figure: 9.0})
    world.make_pass()
    assert "session" not in world.status("Market/us-stocks")


# Rates


@pytest.mark.parametrize(
    ("first", "then", "seconds", "rate"),
    [(0, 30_000, 15, 2000), (100, 100, 15, 0), (100, 50, 15, None), (0, 5, 10, 0), (0, 6, 10, 1)],
)
def test_a_rate_takes_two_reports_of_one_pod(
    world: World, first: int, then: int, seconds: int, rate: int | None
) -> None:
    world.report(LISTENER, {"events_total": first})
    world.make_pass()
    assert "eventsPerSecond" not in world.status("Feed/massive")
    world.now_s += seconds - 1
    world.report(LISTENER, {"events_total": then})
    world.make_pass()
    assert world.status("Feed/massive").get("eventsPerSecond") == rate


def test_a_hand_over_is_no_rate(world: World) -> None:
    world.report(LISTENER, {"events_total": 50}, pod="old", generation=1)
    world.now_s += 15
    world.report(LISTENER, {"events_total": 1_000_000}, pod="new", generation=2)
    world.make_pass()
    assert "eventsPerSecond" not in world.status("Feed/massive")
    assert world.condition("Feed/massive", "DataFlowing")[0] == "True"


def test_the_pod_that_took_over_last_speaks(world: World) -> None:
    world.report(LISTENER, {"streaming": 1, "rejected_total": 1}, pod="new", generation=8)
    world.now_s += 1
    world.report(LISTENER, {"streaming": 0, "rejected_total": 9}, pod="old", generation=7)
    world.make_pass()
    assert world.status("Feed/massive")["rejectedEventsTotal"] == 1
    assert world.status("Feed/massive")["connection"] == "Streaming"


def test_a_standby_alone_is_told_as_that(world: World) -> None:
    world.report(LISTENER, phase=Phase.STANDBY)
    world.make_pass()
    assert world.status("Feed/massive")["connection"] == "Standby"
    assert world.condition("Feed/massive", "DataFlowing")[:2] == ("Unknown", "Standby")


# When figures are written


def write_events(world: World, total: int, seconds: int = 15, **figures: float) -> bool:
    """Let the listener report, make a pass, and return whether the Feed was written to."""
    world.now_s += seconds - 1
    world.report(LISTENER, {"events_total": total, "streaming": 1.0, **figures})
    return any(str(change.key) == "Feed/massive" for change in world.make_pass().statuses)


def test_a_noticeable_difference_is_written_at_once_and_a_small_one_after_a_minute(world: World) -> None:
    write_events(world, 0)
    assert write_events(world, 15_000)
    assert world.status("Feed/massive")["eventsPerSecond"] == 1000
    assert not write_events(world, 30_000 + 1500)
    assert not write_events(world, 45_000 + 1500)
    assert not write_events(world, 60_000 + 3000)
    assert write_events(world, 75_000 + 4500)
    assert world.status("Feed/massive")["eventsPerSecond"] == 1100
    assert write_events(world, 75_000 + 4500 + 30_000)
    assert world.status("Feed/massive")["eventsPerSecond"] == 2000


@pytest.mark.parametrize(
    "trouble",
    [{"connects_total": 3.0}, {"rejected_total": 1.0}, {"dropped_events_total": 1.0}, {"streaming": 0.0}],
)
def test_trouble_is_written_at_once(world: World, trouble: dict[str, float]) -> None:
    calm = {"connects_total": 2.0, "rejected_total": 0.0, "dropped_events_total": 0.0}
    for total in (0, 15_000):
        write_events(world, total, **calm)
    assert not write_events(world, 30_000, **calm)
    assert write_events(world, 45_000, **(calm | trouble))


def test_the_first_events_and_the_last_are_written_at_once(world: World) -> None:
    for total in (0, 0):
        write_events(world, total)
    assert write_events(world, 75)
    assert write_events(world, 75)
    assert world.status("Feed/massive")["eventsPerSecond"] == 0


def test_a_figure_that_trembles_around_zero_is_not_written_each_time(world: World) -> None:
    write_events(world, 0)
    written = [write_events(world, 15 * ((number + 1) // 2)) for number in range(20)]
    assert sum(written) <= 6, "once a minute"


def test_a_quiet_namespace_is_not_written_to(world: World) -> None:
    for _ in range(3):
        write_events(world, 100, event_time_unix_seconds=5.0)
    assert not any(write_events(world, 100, event_time_unix_seconds=5.0) for _ in range(20))


def test_figures_stay_while_nobody_reports(world: World) -> None:
    for total in (0, 15_000):
        write_events(world, total)
    world.forget_operator()
    world.now_s += 600
    assert world.make_pass().is_nothing
    assert world.condition("Feed/massive", "DataFlowing")[:2] == ("True", "Flowing")
    assert world.status("Feed/massive")["eventsPerSecond"] == 1000
    assert world.status("Feed/massive")["connection"] == "Streaming"


def test_what_was_told_of_the_data_is_forgotten_with_the_last_pod(world: World) -> None:
    for total in (0, 15_000):
        write_events(world, total)
    world.forget_operator()
    world.replica_sets = {name: each for name, each in world.replica_sets.items() if "listener" not in name}
    world.start_rollouts()
    world.make_pass()
    assert world.condition("Feed/massive", "DataFlowing")[:2] == ("Unknown", "NoReport")


def test_a_bad_edit_is_told_without_losing_the_figures(world: World) -> None:
    for total in (0, 15_000):
        write_events(world, total)
    world.patch("Feed/massive", provider="Bloomberg")
    world.make_pass()
    assert world.ready("Feed/massive") == ("False", "InvalidSpec")
    assert world.status("Feed/massive")["eventsPerSecond"] == 1000


def test_a_count_of_scanners_is_that_of_those_that_run() -> None:
    world = World(US_STOCKS.replace("rankBy: volume", "rankBy: volyume"))
    world.settle()
    assert world.status("Market/us-stocks")["scannerCount"] == 1
