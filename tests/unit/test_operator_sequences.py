"""Pass after pass over one namespace: what is written, what rolls, and what a name may be."""

import pytest

from scanplane.plan import scanner_checks
from support.operator_world import SECRETS, US_STOCKS, World, settled_world

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"
WITH_FILES = {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "reference"}}}}


@pytest.fixture
def world() -> World:
    return settled_world()


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
    world.patch("Feed/massive", massive={"feed": "Nasdaq"})
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
    assert world.rolled() == [ANALYZER, ANALYZER]
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
