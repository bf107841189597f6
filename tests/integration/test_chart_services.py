"""The services and the simulated provider that the Helm chart brings for a first try."""

from collections.abc import Callable, Mapping
from typing import Any

import aio_pika
import pytest
import redis.asyncio
import yaml

from scanplane.plan.inventory import Home, Inventory
from scanplane.plan.planner import plan
from scanplane.resources.documents import SourceText, parse_documents
from scanplane.resources.kinds import Kind
from support.chart import NOTHING_BUNDLED, ROOT, of_kind, only, render
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(30 * 60)]  # the first run may have to build helm


def test_the_secret_of_the_services_names_the_services_with_their_passwords() -> None:
    manifests = render({})
    urls = only(manifests, "Secret", "scanplane-services")["stringData"]
    rabbitmq = only(manifests, "Secret", "scanplane-rabbitmq")["stringData"]
    redis = only(manifests, "Secret", "scanplane-redis")["stringData"]
    assert urls == {
        "brokerUrl": f"amqp://scanplane:{rabbitmq['password']}@scanplane-rabbitmq.scanners:5672/",
        "cacheUrl": f"redis://:{redis['password']}@scanplane-redis.scanners:6379/0",
    }
    assert f"default_pass = {rabbitmq['password']}\n" in rabbitmq["rabbitmq.conf"]
    assert f"requirepass {redis['password']}\n" in redis["redis.conf"]
    assert len(rabbitmq["password"]) == len(redis["password"]) == 32
    assert rabbitmq["password"] != redis["password"]


def test_the_examples_refer_to_the_secret_that_the_chart_makes() -> None:
    documents = list(yaml.safe_load_all((ROOT / "examples" / "us-stocks.yaml").read_text()))
    data_plane = next(document["spec"] for document in documents if document["kind"] == "DataPlane")
    made = only(render({}), "Secret", "scanplane-services")["stringData"]
    for service in ("broker", "cache"):
        reference = data_plane[service]["urlSecretRef"]
        assert reference["name"] == "scanplane-services"
        assert reference["key"] in made


@pytest.mark.parametrize("service", ["rabbitmq", "redis"])
def test_a_bundled_service_can_be_left_out(service: str) -> None:
    manifests = render({f"bundled.{service}.enabled": False})
    assert not [manifest for manifest in manifests if manifest["metadata"]["name"] == f"scanplane-{service}"]
    (key,) = only(manifests, "Secret", "scanplane-services")["stringData"]
    assert key == {"rabbitmq": "cacheUrl", "redis": "brokerUrl"}[service]


def test_without_bundled_services_there_is_no_secret_at_all() -> None:
    assert not of_kind(render(NOTHING_BUNDLED), "Secret")


@pytest.mark.parametrize("service", ["rabbitmq", "redis"])
def test_a_bundled_service_keeps_its_data_where_it_is_asked_to(service: str) -> None:
    without = only(render({}), "StatefulSet", f"scanplane-{service}")["spec"]
    assert "volumeClaimTemplates" not in without
    assert {"name": "data", "emptyDir": {}} in without["template"]["spec"]["volumes"]
    kept = only(
        render(
            {
                f"bundled.{service}.persistence": {"enabled": True, "size": "7Gi", "storageClassName": "fast"},
            }
        ),
        "StatefulSet",
        f"scanplane-{service}",
    )["spec"]
    (claim,) = kept["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    assert claim["spec"]["storageClassName"] == "fast"
    assert "data" not in [volume["name"] for volume in kept["template"]["spec"]["volumes"]]


def test_a_password_that_a_volume_remembers_outlives_an_uninstall() -> None:
    secret = only(render({"bundled.rabbitmq.persistence.enabled": True}), "Secret", "scanplane-rabbitmq")
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in only(render({}), "Secret", "scanplane-rabbitmq")["metadata"]


def test_a_service_is_restarted_by_its_settings_and_not_by_a_new_rendering() -> None:
    def annotations(values: Mapping[str, object], service: str) -> object:
        stateful_set = only(render(values), "StatefulSet", f"scanplane-{service}")
        return stateful_set["spec"]["template"]["metadata"]["annotations"]

    for service, value in (("rabbitmq", "memoryHighWatermarkMiB"), ("redis", "maxMemoryMiB")):
        assert annotations({}, service) == annotations({}, service)
        assert annotations({}, service) != annotations({f"bundled.{service}.{value}": 100}, service)


def test_a_large_number_is_written_as_a_number() -> None:
    stateful_set = only(render({"bundled.redis.userId": 1000660000}), "StatefulSet", "scanplane-redis")
    assert stateful_set["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 1000660000


@pytest.mark.parametrize("session", ["market", "ticks"])
def test_the_resources_of_a_first_look_are_right_and_plan_a_whole_chain(session: str) -> None:
    manifests = render({"simulator.enabled": True, "simulator.session": session})
    text = only(manifests, "ConfigMap", "scanplane-simulator-resources")["data"]["resources.yaml"]
    found = parse_documents([SourceText("resources.yaml", text)])
    assert [str(problem) for problem in found.problems] == []
    by_kind: dict[Kind, list[Any]] = {kind: [] for kind in Kind}
    for resource in found.resources:
        by_kind[resource.kind].append(resource.resource)
    secrets = {each["metadata"]["name"]: each["stringData"] for each in of_kind(manifests, "Secret")}
    planned = plan(
        Inventory(
            namespace="scanners",
            home=Home.CLUSTER,
            data_planes=tuple(by_kind[Kind.DATA_PLANE]),
            feeds=tuple(by_kind[Kind.FEED]),
            markets=tuple(by_kind[Kind.MARKET]),
            subscriptions=tuple(by_kind[Kind.SUBSCRIPTION]),
            scanners=tuple(by_kind[Kind.SCANNER]),
            secrets=secrets,
        )
    )
    assert [str(finding) for finding in planned.findings] == []
    assert set(planned.configurations) == {"listener-massive", "analyzer-us-stocks-0", "gateway"}


def test_the_simulator_is_reached_where_its_resources_say() -> None:
    manifests = render({"simulator.enabled": True, "simulator.arguments": ["--cut-after-seconds", "60"]})
    text = only(manifests, "ConfigMap", "scanplane-simulator-resources")["data"]["resources.yaml"]
    (feed,) = [document["spec"] for document in yaml.safe_load_all(text) if document["kind"] == "Feed"]
    service = only(manifests, "Service", "scanplane-simulator")
    place = f"scanplane-simulator.scanners:{service['spec']['ports'][0]['port']}"
    assert feed["massive"]["endpoint"] == f"ws://{place}"
    assert feed["massive"]["restEndpoint"] == f"http://{place}"
    (container,) = only(manifests, "Deployment", "scanplane-simulator")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        *("simulate", "market", "--host=0.0.0.0", "--port=8765", "--speed=120", "--hold"),
        *("--cut-after-seconds", "60"),
    ]


def _settings(configuration: str, separator: str) -> dict[str, str]:
    lines = [line.partition(separator) for line in configuration.splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


async def test_rabbitmq_understands_its_settings(start_rabbit: Callable[..., RabbitServer]) -> None:
    manifests = render({})
    text = only(manifests, "Secret", "scanplane-rabbitmq")["stringData"]["rabbitmq.conf"]
    settings = _settings(text, "=")
    assert settings.pop("listeners.tcp.default") == "5672"  # the server of a test has its own port
    server = start_rabbit(settings=settings)
    url = only(manifests, "Secret", "scanplane-services")["stringData"]["brokerUrl"]
    here = url.replace("scanplane-rabbitmq.scanners:5672", f"127.0.0.1:{server.port}")
    async with await aio_pika.connect(here) as connection:
        channel = await connection.channel()
        assert (await channel.declare_queue("works", durable=True)).name == "works"
    assert "guest" not in server.control("list_users", "--quiet").split()
    limit = server.control("eval", "vm_memory_monitor:get_memory_limit().")
    assert int(limit) == 600 * 1024 * 1024


async def test_redis_understands_its_settings(start_redis: Callable[..., RedisServer]) -> None:
    manifests = render({})
    text = only(manifests, "Secret", "scanplane-redis")["stringData"]["redis.conf"]
    settings = _settings(text, " ")
    assert settings.pop("port") == "6379"
    assert settings.pop("dir") == "/data"
    options = [part for name, value in settings.items() for part in (f"--{name}", value.strip('"'))]
    url = only(manifests, "Secret", "scanplane-services")["stringData"]["cacheUrl"]
    server = start_redis(*options, password=settings["requirepass"])
    async with redis.asyncio.from_url(
        url.replace("scanplane-redis.scanners:6379", f"127.0.0.1:{server.port}")
    ) as cache:
        assert await cache.ping()
        said = await cache.config_get("maxmemory", "maxmemory-policy", "appendonly", "save")
    assert said == {
        "maxmemory": str(384 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "save": "",
    }
