"""A market is cut anew: analyzers first, then the listeners, and what nobody publishes to goes last."""

import pytest

from scanplane_operator.names import CONFIGURATION
from scanplane_operator.observed import ObjectKey
from scanplane_operator.rollouts import Decision
from scanplane_operator.settings import PodSettings
from support.operator_world import World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture
def world() -> World:
    return settled_world()


def listener_partitions(world: World) -> str:
    return world.template_annotation(LISTENER, CONFIGURATION)


@pytest.mark.parametrize("counts", [(1, 4, 2), (4, 1), (1, 2, 1, 3)])
def test_a_repartition_moves_the_listener_once_the_analyzers_stand_by(world: World, counts: tuple[int, ...]) -> None:
    for before, after in zip((1, *counts), counts, strict=False):
        if before == after:
            continue
        listener = listener_partitions(world)
        world.patch("Market/us-stocks", analyzer={"partitions": after})
        first = world.make_pass()
        assert first.by_instance[LISTENER] is Decision.WAIT_FOR_ANALYZERS
        most = max(before, after)
        assert len(world.instances()) == most + 2, "removed partitions stay for now"
        world.start_rollouts()
        assert world.make_pass().writes == []
        assert listener_partitions(world) == listener
        assert world.ready("Feed/massive") == ("False", "WaitsForAnalyzers")
        world.finish_rollouts()
        assert world.make_pass().by_instance[LISTENER] is Decision.ROLL
        world.start_rollouts()
        world.make_pass()
        assert len(world.instances()) == most + 2, "the old listener publishes to them still"
        world.finish_rollouts()
        last = world.make_pass()
        assert len(world.instances()) == after + 2
        assert sorted(last.writes) == [
            f"remove Deployment/scanplane-analyzer-us-stocks-{index}" for index in range(after, before)
        ]
        world.settle()
        assert world.status("Market/us-stocks")["partitions"] == after
        assert world.status("Market/us-stocks")["readyPartitions"] == after
        assert all(world.ready(str(key))[0] == "True" for key in world.resources)


def test_a_listener_does_not_move_to_analyzers_that_never_get_ready(world: World) -> None:
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    world.make_pass()
    world.finish_rollouts(stuck=["analyzer-us-stocks-1"])
    for _ in range(3):
        assert world.make_pass().by_instance[LISTENER] is Decision.WAIT_FOR_ANALYZERS
    assert world.condition("Market/us-stocks", "Progressing")[1] == "DeadlineExceeded"
    world.patch("Market/us-stocks", analyzer={"partitions": 1})
    world.settle()
    assert world.instances() == [ANALYZER, GATEWAY, LISTENER]


SECOND_FEED = """
kind: Feed
metadata: {name: tape}
spec: {provider: Replay, replay: {path: /recordings/x}}
---
kind: Subscription
metadata: {name: tape}
spec: {feedRef: {name: tape}, marketRef: {name: us-stocks}, channels: [Trades], symbols: ["*"]}
"""


def test_two_feeds_into_one_market_both_wait_for_its_analyzers(world: World) -> None:
    world.apply(SECOND_FEED)
    world.settle()
    assert world.ready("Subscription/tape") == ("True", "RolledOut")
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    made = world.make_pass()
    assert made.by_instance[LISTENER] is made.by_instance["listener-tape"] is Decision.WAIT_FOR_ANALYZERS
    world.settle()
    assert world.condition("Market/us-stocks", "Ready")[:2] == ("True", "RolledOut")
    world.delete("Feed/tape")
    world.settle()
    assert world.instances() == [ANALYZER, "analyzer-us-stocks-1", GATEWAY, LISTENER]
    assert world.ready("Subscription/seconds") == ("True", "RolledOut")


def test_budgets_and_policies_come_with_every_workload_where_they_are_asked_for() -> None:
    world = World(settings=PodSettings(image="i", network_policies=True, disruption_budgets=True))
    world.settle()
    names = [f"scanplane-{name}" for name in world.instances()]
    assert world.names("PodDisruptionBudget") == world.names("NetworkPolicy") == names
    world.children[ObjectKey("NetworkPolicy", "scanplane-gateway")]["spec"]["ingress"][0]["ports"].append({"port": 22})
    assert world.make_pass().writes == ["apply NetworkPolicy/scanplane-gateway"]
    assert world.make_pass().is_nothing
