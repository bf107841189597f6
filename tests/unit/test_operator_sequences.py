"""Pass after pass over one namespace: what is written, what rolls, what is left alone, and how it recovers."""

import copy

import pytest
import yaml

from scanplane.plan import scanner_checks
from scanplane_operator.names import CONFIGURATION
from scanplane_operator.observed import ObjectKey
from scanplane_operator.reading import referenced_secrets
from scanplane_operator.rollouts import Decision
from scanplane_operator.settings import PodSettings
from support.operator_world import SECRETS, US_STOCKS, Pass, World

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"
WITH_FILES = {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "reference"}}}}


@pytest.fixture(scope="module")
def settled() -> World:
    world = World(config_maps={"reference": {"s.csv": "digest-1"}})
    world.settle()
    return world


@pytest.fixture
def world(settled: World) -> World:
    return copy.deepcopy(settled)


def decisions(made: Pass) -> dict[str, Decision]:
    return {rollout.workload.name: rollout.decision for rollout in made.decisions.rollouts}


def rolled(world: World) -> list[str]:
    return sorted(name for name, _ in world.take_rolls())


def test_an_unchanged_world_is_not_written_to(world: World) -> None:
    for _ in range(10):
        assert world.make_pass().is_nothing


def test_an_operator_that_was_restarted_writes_nothing(world: World) -> None:
    world.forget_operator()
    assert world.make_pass().is_nothing


def test_a_pass_over_what_did_not_change_judges_no_expression_again(world: World) -> None:
    world.patch("Scanner/volume", where="price >= 123.0")
    world.make_pass()
    before = scanner_checks._judge.cache_info().misses
    world.settle()
    world.patch("Feed/massive", staleAfter="1m")
    world.settle()
    assert scanner_checks._judge.cache_info().misses == before


def test_what_a_pod_needs_is_written_before_it_and_consumers_before_publishers() -> None:
    writes = World().make_pass().writes
    kinds = [write.removeprefix("apply ").partition("-")[0] for write in writes]
    assert (
        kinds
        == ["ConfigMap/scanplane", "Deployment/scanplane", "Service/scanplane"]
        + [
            "ConfigMap/scanplane",
            "Deployment/scanplane",
        ]
        * 2
    )
    deployments = [write for write in writes if "Deployment" in write]
    assert deployments == [f"apply Deployment/scanplane-{name}" for name in (ANALYZER, GATEWAY, LISTENER)]


def test_three_edits_at_once_roll_once_and_are_all_named(world: World) -> None:
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.patch("Scanner/volume", board={"limit": 3})
    world.patch("Market/us-stocks", calendar="XLON")
    world.settle()
    assert world.take_rolls() == [
        (
            ANALYZER,
            "MarketChanged, ScannerChanged (Market/us-stocks edited, Scanner/gappers edited, Scanner/volume edited)",
        )
    ]


def test_a_change_back_and_forth_between_two_passes_is_none(world: World) -> None:
    world.patch("Scanner/volume", board={"limit": 3})
    world.patch("Scanner/volume", board={"limit": None})
    passes = world.settle()
    assert [made.writes for made in passes] == [[]] * len(passes)
    assert world.status("Scanner/volume")["observedGeneration"] == 3


def test_a_change_back_and_forth_over_two_passes_rolls_twice_and_adds_no_object(world: World) -> None:
    before = world.names("ConfigMap")
    for limit in (3, None):
        world.patch("Scanner/volume", board={"limit": limit})
        world.settle()
    assert rolled(world) == [ANALYZER, ANALYZER]
    assert set(before) < set(world.names("ConfigMap"))
    assert len(world.names("ConfigMap")) == len(before) + 1


def test_configurations_stay_as_long_as_a_replica_set_reads_them(world: World) -> None:
    for limit in range(1, 10):
        world.patch("Scanner/volume", board={"limit": limit})
        world.settle()
    held = {
        volume["configMap"]["name"]
        for replica_set in world.replica_sets.values()
        for volume in replica_set["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "configuration"
    }
    assert set(world.names("ConfigMap")) == held
    assert len([name for name in held if ANALYZER in name]) == 4  # the one that runs, and three to go back to


@pytest.mark.parametrize(
    ("secret", "key", "expected"),
    [
        ("massive", "apiKey", [LISTENER]),
        ("services", "broker", [ANALYZER, GATEWAY, LISTENER]),
        ("massive", "another key that nobody reads", []),
    ],
)
def test_a_rotated_key_restarts_what_reads_it(world: World, secret: str, key: str, expected: list[str]) -> None:
    world.secrets[secret][key] = "another"
    world.settle()
    rolls = world.take_rolls()
    assert sorted(name for name, _ in rolls) == expected
    assert {reason for _, reason in rolls} <= {"CredentialsRotated"}


def test_a_changed_token_restarts_the_gateway(world: World) -> None:
    world.secrets["tokens"] = {"alice": "1"}
    world.patch("DataPlane/default", gateway={"tokensSecretRef": {"name": "tokens"}})
    world.settle()
    world.take_rolls()
    world.secrets["tokens"]["bob"] = "2"
    world.settle()
    assert world.take_rolls() == [(GATEWAY, "CredentialsRotated")]
    pod = world.deployment(GATEWAY)["spec"]["template"]["spec"]
    (tokens,) = [each["secret"] for each in pod["volumes"] if each.get("secret", {}).get("secretName") == "tokens"]
    assert "items" not in tokens  # every client's key, whatever it is called


def test_changed_reference_data_restarts_the_analyzers(world: World) -> None:
    world.patch("Market/us-stocks", **WITH_FILES)
    world.settle()
    world.take_rolls()
    world.config_maps["reference"] |= {"s.csv": "digest-2", "unused.csv": "x"}
    world.settle()
    assert world.take_rolls() == [(ANALYZER, "MarketChanged (Market/us-stocks edited)")]


# What a new version of the operator brings


def test_a_new_image_restarts_everything_once(world: World) -> None:
    world.settings = PodSettings(image="registry/scanplane:2")
    world.settle()
    rolls = world.take_rolls()
    assert sorted(name for name, _ in rolls) == [ANALYZER, GATEWAY, LISTENER]
    assert {reason for _, reason in rolls} == {"ImageChanged (image registry/scanplane:1 became registry/scanplane:2)"}


def with_policy(world: World, session: float) -> None:
    world.patch("DataPlane/default", updatePolicy="MarketClosed")
    world.settle()
    world.report(ANALYZER, {"session": session})
    world.settle()
    world.take_rolls()


def test_a_new_image_waits_for_the_close_where_asked(world: World) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    made = world.make_pass()
    assert set(decisions(made).values()) == {Decision.WAIT_FOR_CLOSE}
    assert world.condition("Feed/massive", "Progressing") == (
        "True",
        "WaitsForMarketClose",
        "listener-massive waits for the close: ImageChanged (image registry/scanplane:1 became registry/scanplane:2)",
    )
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)
    assert world.make_pass().is_nothing
    world.report(ANALYZER, {"session": 0.0})
    world.settle()
    assert rolled(world) == [ANALYZER, GATEWAY, LISTENER]


def test_what_waits_is_not_told_of_every_scanner(world: World) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    told = {key for key, reason, _ in world.make_pass().told() if reason == "WaitsForMarketClose"}
    assert told == {"DataPlane/default", "Feed/massive", "Market/us-stocks"}


def test_an_operator_that_has_just_begun_takes_no_open_market_for_closed(world: World) -> None:
    with_policy(world, session=1.0)
    assert world.status("Market/us-stocks")["session"] == "premarket"
    world.forget_operator()
    world.settings = PodSettings(image="registry/scanplane:2")
    assert set(decisions(world.make_pass()).values()) == {Decision.WAIT_FOR_CLOSE}


def test_an_analyzer_that_serves_nobody_holds_up_no_upgrade(world: World) -> None:
    with_policy(world, session=2.0)
    world.forget_operator()
    for replica_set in world.replica_sets.values():
        replica_set["status"]["availableReplicas"] = 0
    world.start_rollouts()
    world.settings = PodSettings(image="registry/scanplane:2")
    world.settle()
    assert rolled(world) == [ANALYZER, GATEWAY, LISTENER]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"resource": "Scanner/gappers", "where": "price >= 9.0"}, [ANALYZER]),
        (
            {"resource": "DataPlane/default", "workloads": {"nodeSelector": {"disk": "fast"}}},
            [ANALYZER, GATEWAY, LISTENER],
        ),
        ({"resource": "Market/us-stocks", "analyzer": {"resources": {"requests": {"cpu": "1000m"}}}}, [ANALYZER]),
    ],
)
def test_what_a_user_changed_never_waits_even_together_with_an_image(
    world: World, edit: dict[str, object], expected: list[str]
) -> None:
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    resource = str(edit.pop("resource"))
    world.patch(resource, **edit)
    world.settle()
    assert rolled(world) == expected


def test_amounts_that_the_server_writes_in_another_way_are_no_wish_of_a_user(world: World) -> None:
    asked = {"requests": {"cpu": "1000m", "memory": "2048Mi"}, "limits": {"cpu": "2.50", "memory": "1.5Ti"}}
    world.patch("DataPlane/default", workloads={"analyzer": {"resources": asked}})
    world.settle()
    with_policy(world, session=2.0)
    world.settings = PodSettings(image="registry/scanplane:2")
    assert decisions(world.make_pass())[ANALYZER] is Decision.WAIT_FOR_CLOSE


# Pausing


@pytest.mark.parametrize(
    ("resource", "edit", "expected"),
    [
        ("DataPlane/default", {"gateway": {"maxClients": 5}}, [GATEWAY]),
        ("Feed/massive", {"staleAfter": "1m"}, [LISTENER]),
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
    assert rolled(world) == []
    assert world.condition(resource, "Paused")[0] == "True"
    assert world.ready(resource) == ("False", "Paused")
    assert "generation 2 waits" in world.condition(resource, "Ready")[2]
    world.forget_operator()
    world.settle()
    assert rolled(world) == []
    world.resume(resource)
    world.settle()
    assert rolled(world) == expected
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
    assert rolled(world) == []
    assert world.condition("Subscription/seconds", "Progressing") == (
        "False",
        "WorkloadPaused",
        "listener-massive goes on as before: Feed/massive is paused",
    )
    world.resume("Feed/massive")
    world.settle()
    assert rolled(world) == [LISTENER]


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
    assert rolled(world) == []
    assert world.condition("Scanner/late", "Accepted")[:2] == ("Unknown", "Paused")
    world.resume("Scanner/late")
    world.settle()
    assert rolled(world) == [ANALYZER]


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


# Bad edits


BAD = [
    ("DataPlane/default", {"gateway": {"port": "high"}}, "InvalidSpec"),
    ("DataPlane/default", {"broker": {"urlSecretRef": {"name": "gone"}}}, "SecretNotFound"),
    ("DataPlane/default", {"cache": None}, "ServiceRequired"),
    ("Feed/massive", {"provider": "Bloomberg"}, "InvalidSpec"),
    ("Feed/massive", {"massive": {"apiKeySecretRef": {"key": "gone"}}}, "SecretNotFound"),
    ("Market/us-stocks", {"calendar": "MOON"}, "UnknownCalendar"),
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
    assert rolled(world) == []
    assert world.ready(resource) == ("True", "RolledOut")


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
    assert rolled(world) == []
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
    assert rolled(world) == []
    assert world.ready("Feed/massive") == ("True", "RolledOut")
    assert yaml.safe_load(world.status("Feed/massive")["accepted"]["spec"]) == world.resource("Feed/massive")["spec"]


def test_a_status_that_names_paths_is_not_asked_for() -> None:
    spec = '{"aSecretRef": {"name": "../../kube-system/secrets/token"}, "bSecretRef": {"name": "fine.name"}}'
    assert referenced_secrets([{"spec": {}, "status": {"accepted": {"generation": 1, "spec": spec}}}]) == {"fine.name"}


# What people do to the children


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
    assert rolled(world) == [ANALYZER]
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
    assert rolled(world) == []
    assert world.ready("Market/us-stocks") == ("True", "RolledOut")
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    assert rolled(world) == [ANALYZER]


def test_a_rollback_of_one_partition_leaves_the_others() -> None:
    world = World()
    world.patch("Market/us-stocks", analyzer={"partitions": 2})
    world.settle()
    world.patch("Scanner/gappers", where="price >= 3.0")
    world.settle()
    world.undo("analyzer-us-stocks-1")
    world.finish_rollouts()
    made = world.make_pass()
    assert made.writes == []
    assert decisions(made)["analyzer-us-stocks-0"] is Decision.KEEP
    assert decisions(made)["analyzer-us-stocks-1"] is Decision.ROLLED_BACK


def test_kubectl_rollout_restart_is_left_alone(world: World) -> None:
    world.restart(LISTENER)
    world.settle()
    assert rolled(world) == []
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
    world.patch("Feed/massive", staleAfter="1m")
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
    assert rolled(world) == []


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
    world.patch("Feed/massive", staleAfter="1m")
    for _ in range(3):
        made = world.make_pass()
        assert decisions(made)[LISTENER] is Decision.ROLL
        assert world.condition("Feed/massive", "Ready") == (
            "False",
            "WriteRefused",
            "the API server refused: Deployment/scanplane-listener-massive: exceeded quota: pods",
        )
    assert "lastRestart" not in world.status("Feed/massive")
    world.refuses = {}
    world.settle()
    assert rolled(world) == [LISTENER]
    assert world.ready("Feed/massive") == ("True", "RolledOut")


def test_a_refused_service_is_said_too(world: World) -> None:
    world.refuses[ObjectKey("Service", "scanplane-gateway")] = "no load balancers here"
    world.patch("DataPlane/default", gateway={"service": {"type": "LoadBalancer"}})
    world.make_pass()
    assert world.ready("DataPlane/default") == ("False", "WriteRefused")
    assert world.ready("Feed/massive")[0] == "True"


# Deleting


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
    world.patch("Feed/massive", staleAfter="1m")
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
    assert rolled(world) == [ANALYZER, LISTENER]


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
    assert rolled(world) == []


# Names


def test_names_that_differ_by_kind_alone_do_not_meet() -> None:
    text = US_STOCKS.replace("name: massive}\nspec", "name: gateway}\nspec").replace(
        "feedRef: {name: massive}", "feedRef: {name: gateway}"
    )
    text = text.replace("us-stocks", "gateway").replace("name: seconds", "name: gateway").replace("gappers", "gateway")
    world = World(text)
    world.settle()
    assert world.instances() == ["analyzer-gateway-0", "gateway", "listener-gateway"]
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)


def test_the_longest_names_make_valid_objects() -> None:
    longest = "a" * 48
    world = World(
        US_STOCKS.replace("us-stocks", longest).replace("{name: massive}", f"{{name: {longest}}}"), secrets=SECRETS
    )
    world.patch(f"Market/{longest}", analyzer={"partitions": 64})
    world.settle()
    assert f"analyzer-{longest}-63" in world.instances()
    for key, child in world.children.items():
        assert len(key.name) <= 253
        labels = dict(child["metadata"]["labels"])
        pod = child.get("spec", {}).get("template", {})
        labels |= pod.get("metadata", {}).get("labels", {})
        assert all(len(value) <= 63 for value in labels.values())
        for volume in pod.get("spec", {}).get("volumes", []):
            assert len(volume["name"]) <= 63


def test_no_gateway_may_be_asked_for(world: World) -> None:
    world.patch("DataPlane/default", gateway={"replicas": 0})
    world.settle()
    assert world.ready("DataPlane/default") == ("True", "RolledOut")
    assert world.condition("DataPlane/default", "Available") == (
        "False",
        "NoReplicas",
        "gateway has no replicas, as asked",
    )


# Partitions


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
        assert decisions(first)[LISTENER] is Decision.WAIT_FOR_ANALYZERS
        most = max(before, after)
        assert len(world.instances()) == most + 2, "removed partitions stay for now"
        world.start_rollouts()
        assert world.make_pass().writes == []
        assert listener_partitions(world) == listener
        assert world.ready("Feed/massive") == ("False", "WaitsForAnalyzers")
        world.finish_rollouts()
        assert decisions(world.make_pass())[LISTENER] is Decision.ROLL
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
        assert decisions(world.make_pass())[LISTENER] is Decision.WAIT_FOR_ANALYZERS
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
    assert decisions(made)[LISTENER] is decisions(made)["listener-tape"] is Decision.WAIT_FOR_ANALYZERS
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
    assert rolled(world) == []
    assert world.condition("Subscription/aaa", "Accepted")[:2] == ("False", "OverlappingFeeds")
    assert "generation 1 goes on" in world.condition("Subscription/aaa", "Accepted")[2]
