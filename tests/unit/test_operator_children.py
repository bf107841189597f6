"""What people, and others, do to the operator's objects."""

import copy

import pytest

from scanplane_operator.names import REVISION
from scanplane_operator.observed import ObjectKey
from scanplane_operator.rollouts import Decision
from support.operator_world import US_STOCKS, World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"


@pytest.fixture
def world() -> World:
    return settled_world()


def test_a_rollback_stands_until_the_next_change(world: World) -> None:
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    world.take_rolls()
    world.undo(ANALYZER)
    world.finish_rollouts()
    for _ in range(3):
        assert world.make_pass().writes == []
        world.forget_operator()
    assert world.ready("Market/us-stocks") == ("False", "RolledBack")
    assert world.ready("Scanner/gappers") == ("False", "RolledBack")
    assert world.ready("Scanner/volume") == ("True", "RolledOut")  # the older version asks the same for it
    world.patch("Scanner/volume", board={"limit": 3})
    world.settle()
    assert world.rolled() == [ANALYZER]
    assert world.ready("Market/us-stocks") == ("True", "RolledOut")


def test_a_rollback_that_is_followed_by_the_same_edit_back_needs_nothing_more(world: World) -> None:
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    world.undo(ANALYZER)
    world.finish_rollouts()
    world.settle()
    world.take_rolls()
    world.patch("Scanner/gappers", where="price >= 2.0")
    world.settle()
    assert world.rolled() == []
    assert world.ready("Market/us-stocks") == ("True", "RolledOut")
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    assert world.rolled() == [ANALYZER]


def with_a_partition_rolled_back(number: int) -> World:
    """Return a World of two partitions that were rolled once, of which somebody has rolled one back."""
    world = World()
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    world.settle()
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    world.undo(f"analyzer-us-stocks-{number}")
    world.finish_rollouts()
    return world


def test_a_rollback_of_one_partition_leaves_the_others() -> None:
    world = with_a_partition_rolled_back(1)
    made = world.make_pass()
    assert made.writes == []
    assert made.by_instance["analyzer-us-stocks-0"] is Decision.KEEP
    assert made.by_instance["analyzer-us-stocks-1"] is Decision.ROLLED_BACK


def test_a_rollback_stands_though_another_partition_is_made_anew() -> None:
    world = with_a_partition_rolled_back(0)
    world.delete("Deployment/scanplane-analyzer-us-stocks-1")
    world.take_rolls()
    world.settle()
    assert world.rolled() == []
    assert world.ready("Market/us-stocks") == ("False", "RolledBack")


def test_an_edit_that_is_taken_back_while_nobody_recorded_it_is_no_rollback(world: World) -> None:
    before = world.template_annotation(ANALYZER, REVISION)
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.write_and_die()
    assert world.template_annotation(ANALYZER, REVISION) != before
    world.patch("Scanner/gappers", where="price >= 2.0")
    world.settle()
    assert world.template_annotation(ANALYZER, REVISION) == before
    assert world.ready("Market/us-stocks") == ("True", "RolledOut")


def test_kubectl_rollout_restart_is_left_alone(world: World) -> None:
    world.restart(LISTENER)
    world.settle()
    assert world.rolled() == []
    assert (
        "kubectl.kubernetes.io/restartedAt" in world.deployment(LISTENER)["spec"]["template"]["metadata"]["annotations"]
    )
    assert world.ready("Feed/massive") == ("True", "RolledOut")


def test_what_somebody_changes_is_mended_once(world: World) -> None:
    live = world.deployment(LISTENER)
    live["spec"]["replicas"] = 5
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/other:1"
    world.children[ObjectKey("Service", "scanplane-gateway")]["spec"]["type"] = "LoadBalancer"
    assert world.make_pass().writes == [
        "apply Service/scanplane-gateway",
        "apply Deployment/scanplane-listener-massive",
    ]
    assert live["spec"]["replicas"] == 5
    assert world.deployment(LISTENER)["spec"]["replicas"] == 1
    assert world.deployment(LISTENER)["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/scanplane:1"
    world.finish_rollouts()
    world.settle()


def test_what_others_add_is_left_alone(world: World) -> None:
    live = world.deployment(LISTENER)
    pod = live["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "proxy", "image": "registry/proxy:1"})
    pod["containers"][1]["env"] = [{"name": "EXTRA", "value": "1"}]
    pod["containers"][1]["volumeMounts"].append({"name": "certificates", "mountPath": "/certificates"})
    pod["volumes"].append({"name": "certificates", "secret": {"secretName": "certificates"}})
    live["metadata"]["annotations"]["example.com/owner"] = "team-a"
    live["metadata"]["labels"]["example.com/team"] = "a"
    live["metadata"]["ownerReferences"].append({"uid": "other", "apiVersion": "v1", "kind": "ConfigMap", "name": "x"})
    world.finish_rollouts()
    world.settle()
    assert all(made.writes == [] for made in world.settle())
    world.patch("Feed/massive", massive={"feed": "Nasdaq"})
    world.settle()
    assert world.take_rolls() == [(LISTENER, "FeedChanged (Feed/massive edited)")]
    names = [each["name"] for each in world.deployment(LISTENER)["spec"]["template"]["spec"]["containers"]]
    assert names == ["proxy", "listener"]


@pytest.mark.parametrize(
    "child",
    [
        "Deployment/scanplane-gateway",
        "Deployment/scanplane-listener-massive",
        "Service/scanplane-gateway",
    ],
)
def test_a_deleted_child_comes_back(world: World, child: str) -> None:
    world.delete(child)
    assert f"apply {child}" in world.make_pass().writes
    world.finish_rollouts()
    world.settle()
    assert world.rolled() == []


def test_a_deleted_configuration_comes_back(world: World) -> None:
    (name,) = [each for each in world.names("ConfigMap") if "listener" in each]
    world.delete(f"ConfigMap/{name}")
    assert world.make_pass().writes == [f"apply ConfigMap/{name}"]
    assert world.make_pass().writes == []


def test_a_child_that_is_being_deleted_is_waited_for(world: World) -> None:
    live = world.deployment(LISTENER)
    live["metadata"]["deletionTimestamp"] = "2027-01-01T00:00:00Z"
    assert world.make_pass().writes == []
    world.delete("Deployment/scanplane-listener-massive")
    assert "apply Deployment/scanplane-listener-massive" in world.make_pass().writes


def test_an_object_of_others_is_left_alone_and_said() -> None:
    world = World()
    world.others = {ObjectKey("Deployment", "scanplane-listener-massive"), ObjectKey("Service", "scanplane-gateway")}
    made = world.make_pass()
    assert not [write for write in made.writes if write.partition(" ")[2] in {str(key) for key in world.others}]
    world.finish_rollouts()
    world.settle()
    said = "is there already and not the operator's: rename or remove it"
    assert world.condition("Feed/massive", "Ready") == (
        "False",
        "NameTaken",
        f"Deployment/scanplane-listener-massive {said}",
    )
    assert world.condition("Feed/massive", "Available")[1] == "NameTaken"
    assert world.condition("DataPlane/default", "Ready") == ("False", "NameTaken", f"Service/scanplane-gateway {said}")
    assert world.condition("DataPlane/default", "Available")[0] == "True"
    assert world.ready("Market/us-stocks")[0] == "True"
    world.others = set()
    world.settle()
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)


def test_a_configuration_of_others_is_not_written_over() -> None:
    world = World()
    world.make_pass()
    (name,) = [each for each in world.names("ConfigMap") if "listener" in each]
    fresh = World()
    fresh.others = {ObjectKey("ConfigMap", name)}
    fresh.make_pass()
    assert name not in fresh.names("ConfigMap")
    assert LISTENER not in fresh.instances()
    assert fresh.condition("Feed/massive", "Progressing")[:2] == ("False", "NameTaken")


def test_an_object_with_our_label_and_a_strange_owner_breaks_nothing(world: World) -> None:
    child = copy.deepcopy(world.children[ObjectKey("Service", "scanplane-gateway")])
    child["metadata"] |= {"name": "stray", "uid": "stray"}
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.com/v1", "kind": "Shop", "name": "x", "uid": "uid-1", "controller": True}
    ]
    world.children[ObjectKey("Service", "stray")] = child
    assert world.make_pass().writes == ["remove Service/stray"]


def test_a_refused_write_is_said_and_tried_again_and_is_no_rollback(world: World) -> None:
    key = ObjectKey("Deployment", "scanplane-listener-massive")
    world.refuses[key] = "exceeded quota:\n pods"
    world.patch("Feed/massive", massive={"feed": "Nasdaq"})
    for _ in range(3):
        made = world.make_pass()
        assert made.by_instance[LISTENER] is Decision.ROLL
        assert world.condition("Feed/massive", "Ready") == (
            "False",
            "WriteRefused",
            "the API server refused: Deployment/scanplane-listener-massive: exceeded quota: pods",
        )
    assert "lastRestart" not in world.status("Feed/massive")
    world.refuses = {}
    world.settle()
    assert world.rolled() == [LISTENER]
    assert world.ready("Feed/massive") == ("True", "RolledOut")


def test_an_edit_that_was_refused_in_part_can_be_taken_back() -> None:
    world = World(US_STOCKS.replace("assetClass: Stocks", "assetClass: Stocks\n  analyzer: {partitions: 2}"))
    world.settle()
    before = world.template_annotation("analyzer-us-stocks-0", REVISION)
    world.refuses[ObjectKey("Deployment", "scanplane-analyzer-us-stocks-1")] = "exceeded quota"
    world.patch("Scanner/gappers", where="price >= 3.0")
    for _ in range(2):
        world.make_pass()
        world.finish_rollouts()
    assert world.template_annotation("analyzer-us-stocks-0", REVISION) != before
    world.refuses = {}
    world.patch("Scanner/gappers", where="price >= 2.0")
    world.settle()
    assert world.template_annotation("analyzer-us-stocks-0", REVISION) == before
    assert world.ready("Market/us-stocks") == ("True", "RolledOut")


def test_a_refused_service_is_said_too(world: World) -> None:
    world.refuses[ObjectKey("Service", "scanplane-gateway")] = "no load balancers here"
    world.patch("DataPlane/default", gateway={"service": {"type": "LoadBalancer"}})
    world.make_pass()
    assert world.ready("DataPlane/default") == ("False", "WriteRefused")
    assert world.ready("Feed/massive")[0] == "True"
