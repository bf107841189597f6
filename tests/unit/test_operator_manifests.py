"""The objects themselves: what every pod has and never has, and amounts that fit together."""

from typing import Any

import pytest

from scanplane_operator.containment import quantity
from scanplane_operator.manifests.pods import STATUS_PORT
from scanplane_operator.observed import ObjectKey
from scanplane_operator.settings import PodSettings
from support.operator_world import World

ANALYZER, GATEWAY, LISTENER = "analyzer-us-stocks-0", "gateway", "listener-massive"
FILES = {"reference": {"freeFloat": "File", "file": {"symbols": "s.csv", "configMapRef": {"name": "reference"}}}}


def pod_of(world: World, instance: str) -> dict[str, Any]:
    pod: dict[str, Any] = world.deployment(instance)["spec"]["template"]["spec"]
    return pod


@pytest.fixture(scope="module")
def world() -> World:
    world = World(config_maps={"reference": {"s.csv": "digest"}})
    world.patch("Market/us-stocks", **FILES)
    world.settle()
    return world


@pytest.mark.parametrize("instance", [ANALYZER, GATEWAY, LISTENER])
def test_a_pod_is_restricted_and_holds_no_token(world: World, instance: str) -> None:
    pod = pod_of(world, instance)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert "env" not in container


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (ANALYZER, {"services": ["broker", "cache"]}),
        (GATEWAY, {"services": ["broker", "cache"]}),
        (LISTENER, {"massive": ["apiKey"], "services": ["broker", "cache"]}),
    ],
)
def test_a_pod_holds_the_keys_that_its_role_reads_and_no_other(
    world: World, instance: str, expected: dict[str, list[str]]
) -> None:
    secrets = [volume["secret"] for volume in pod_of(world, instance)["volumes"] if "secret" in volume]
    assert {each["secretName"]: [item["key"] for item in each["items"]] for each in secrets} == expected


def test_reference_data_is_mounted_for_the_analyzer_alone(world: World) -> None:
    mounted = {
        name: [each["configMap"]["name"] for each in pod_of(world, name)["volumes"] if each["name"] == "files"]
        for name in world.instances()
    }
    assert mounted == {ANALYZER: ["reference"], GATEWAY: [], LISTENER: []}


def test_one_secret_that_is_read_whole_and_by_key_is_mounted_once() -> None:
    world = World()
    world.patch("DataPlane/default", gateway={"tokensSecretRef": {"name": "services"}})
    world.settle()
    volumes = [each["secret"] for each in pod_of(world, GATEWAY)["volumes"] if "secret" in each]
    assert [(each["secretName"], "items" in each) for each in volumes] == [("services", False)]


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        ({}, {"cpu": "100m", "memory": "128Mi"}, {"memory": "512Mi"}),
        ({"requests": {"memory": "2Gi"}}, {"cpu": "100m", "memory": "2Gi"}, {"memory": "2Gi"}),
        ({"limits": {"memory": "64Mi"}}, {"cpu": "100m", "memory": "64Mi"}, {"memory": "64Mi"}),
        ({"limits": {"cpu": "100m"}}, {"cpu": "100m", "memory": "128Mi"}, {"cpu": "100m", "memory": "512Mi"}),
        ({"limits": {"cpu": "2"}}, {"cpu": "100m", "memory": "128Mi"}, {"cpu": "2", "memory": "512Mi"}),
        (
            {"requests": {"memory": "2Gi"}, "limits": {"memory": "3Gi"}},
            {"cpu": "100m", "memory": "2Gi"},
            {"memory": "3Gi"},
        ),
    ],
)
def test_a_default_gives_way_to_what_was_asked_for(
    asked: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    world = World()
    world.patch("DataPlane/default", workloads={"listener": {"resources": asked}})
    world.settle()
    assert pod_of(world, LISTENER)["containers"][0]["resources"] == {"requests": requests, "limits": limits}


def test_a_market_has_the_last_word_about_its_analyzers() -> None:
    world = World()
    world.patch("DataPlane/default", workloads={"analyzer": {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}})
    world.patch("Market/us-stocks", analyzer={"resources": {"requests": {"cpu": "3"}, "limits": {"memory": "512Mi"}}})
    world.settle()
    amounts = pod_of(world, ANALYZER)["containers"][0]["resources"]
    assert amounts["requests"]["cpu"] == "3"
    assert amounts["limits"]["memory"] == "512Mi"
    assert (
        quantity(amounts["requests"]["memory"]) == 2**30
    )  # both were asked for: the API server says that it is too much


def test_pods_are_as_the_data_plane_asks_before_the_installation() -> None:
    world = World(settings=PodSettings(image="installed", pull_secrets=("installed",)))
    world.settle()
    assert pod_of(world, GATEWAY)["imagePullSecrets"] == [{"name": "installed"}]
    asked = {
        "image": "asked",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "asked"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "market", "operator": "Equal", "value": "a", "effect": "NoExecute", "tolerationSeconds": 5}],
        "priorityClassName": "high",
    }  # fmt: skip
    world.patch("DataPlane/default", workloads=asked)
    world.settle()
    pod = pod_of(world, GATEWAY)
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("asked", "Always")
    assert {name: pod[name] for name in asked if name in pod} == {
        name: value for name, value in asked.items() if name not in {"image", "imagePullPolicy"}
    }


def test_settings_that_are_taken_back_leave_nothing_behind() -> None:
    world = World()
    world.settle()
    before = pod_of(world, GATEWAY)
    world.patch("DataPlane/default", workloads={"nodeSelector": {"disk": "fast"}, "priorityClassName": "high"})
    world.settle()
    world.patch("DataPlane/default", workloads=None)
    world.settle()
    assert pod_of(world, GATEWAY) == before


@pytest.mark.parametrize("replicas", [0, 3])
def test_there_are_as_many_gateways_as_asked_and_none_restarts_for_it(replicas: int) -> None:
    world = World()
    world.settle()
    before = world.deployment(GATEWAY)["spec"]
    assert before["replicas"] == 1
    world.patch("DataPlane/default", gateway={"replicas": replicas})
    world.settle()
    assert world.deployment(GATEWAY)["spec"] == {**before, "replicas": replicas}


def test_no_gateway_has_the_port_that_its_pod_answers_probes_on() -> None:
    world = World()
    world.patch("DataPlane/default", gateway={"port": STATUS_PORT})
    world.settle()
    status, reason, message = world.condition("DataPlane/default", "Accepted")
    assert (status, reason) == ("False", "InvalidSpec")
    assert message == "spec.gateway.port 8081 is the port of every pod's own status: write another, such as 8080"


def test_any_free_port_is_the_usual_one_in_a_pod() -> None:
    world = World()
    world.patch("DataPlane/default", gateway={"port": 0})
    world.settle()
    ports = {each["name"]: each["containerPort"] for each in pod_of(world, GATEWAY)["containers"][0]["ports"]}
    assert ports == {"status": 8081, "http": 8080}
    assert world.children[ObjectKey("Service", "scanplane-gateway")]["spec"]["ports"][0]["port"] == 8080
