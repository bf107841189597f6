"""Which field of which kind restarts exactly which workloads: once, and with which reason. A field without a row fails."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec import Struct

from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import SchemaNode, spec_schema
from support.operator_world import World

RESOURCES = """
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
  gateway: {tokensSecretRef: {name: tokens}}
---
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}
---
kind: Feed
metadata: {name: tape}
spec:
  provider: Replay
  replay: {path: /recordings/coins}
---
kind: Feed
metadata: {name: spare}
spec:
  provider: Replay
  replay: {path: /recordings/spare}
---
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  sessions: {premarket: "04:00", postmarket: "20:00"}
  reference:
    previousClose: File
    volumeCurve: File
    file: {symbols: symbols.csv, volumeCurve: curve.csv, configMapRef: {name: reference}}
---
kind: Market
metadata: {name: coins}
spec: {assetClass: Crypto}
---
kind: Market
metadata: {name: spare}
spec: {assetClass: Stocks}
---
kind: Subscription
metadata: {name: seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
---
kind: Subscription
metadata: {name: coins}
spec:
  feedRef: {name: tape}
  marketRef: {name: coins}
  channels: [SecondAggregates]
  symbols: ["*"]
---
kind: Scanner
metadata: {name: gappers}
spec:
  marketRef: {name: us-stocks}
  where: price >= 2.0
  board: {rankBy: change_percent}
  signal: {cooldown: 5s}
---
kind: Scanner
metadata: {name: coins}
spec:
  marketRef: {name: coins}
  board: {rankBy: volume}
"""

SECRETS = {
    "services": {"broker": "b", "cache": "c", "other": "o"},
    "others": {"broker": "b", "cache": "c", "apiKey": "k"},
    "massive": {"apiKey": "k", "other": "o"},
    "tokens": {"alice": "a"},
    "tokens-2": {"alice": "a"},
}
CONFIG_MAPS = {
    "reference": {"symbols.csv": "s", "curve.csv": "v", "other.csv": "o"},
    "reference-2": {"symbols.csv": "s", "curve.csv": "v"},
}

LISTENERS = ("listener-massive", "listener-tape")
ANALYZERS = ("analyzer-coins-0", "analyzer-us-stocks-0")
ALL = (*ANALYZERS, "gateway", *LISTENERS)
STOCKS = ("analyzer-us-stocks-0",)
FEED = ("listener-massive",)


class Row(Struct, frozen=True):
    """An edit: the fields of the resource's spec, which instances it rolls, and why. ``also`` are further writes."""

    resource: str
    edit: Mapping[str, Any]
    rolls: tuple[str, ...]
    reason: str = ""
    also: tuple[str, ...] = ()


def data_plane(*rolls: str, also: tuple[str, ...] = (), reason: str = "DataPlaneChanged", **edit: Any) -> Row:
    return Row("DataPlane/default", edit, rolls, reason if rolls else "", also)


def feed(*rolls: str, resource: str = "massive", **edit: Any) -> Row:
    return Row(f"Feed/{resource}", edit, rolls, "FeedChanged" if rolls else "")


def market(*rolls: str, resource: str = "us-stocks", also: tuple[str, ...] = (), **edit: Any) -> Row:
    return Row(f"Market/{resource}", edit, rolls, "MarketChanged" if rolls else "", also)


def subscription(*rolls: str, reason: str = "SubscriptionChanged", also: tuple[str, ...] = (), **edit: Any) -> Row:
    return Row("Subscription/seconds", edit, rolls, reason, also)


def scanner(*rolls: str, **edit: Any) -> Row:
    return Row("Scanner/gappers", edit, rolls, "ScannerChanged")


def amounts(which: str, name: str, amount: str) -> dict[str, Any]:
    return {"resources": {which: {name: amount}}}


SAMPLES = {"requests.cpu": "1000m", "requests.memory": "300Mi", "limits.cpu": "2.5", "limits.memory": "2048Mi"}

REWRITTEN = tuple(f"Deployment/scanplane-{name}" for name in ALL)

ROWS: dict[Kind, dict[str, Row]] = {
    Kind.DATA_PLANE: {
        "broker.urlSecretRef.name": data_plane(*ALL, broker={"urlSecretRef": {"name": "others"}}),
        "broker.urlSecretRef.key": data_plane(*ALL, broker={"urlSecretRef": {"key": "other"}}),
        "cache.urlSecretRef.name": data_plane(*ALL, cache={"urlSecretRef": {"name": "others"}}),
        "cache.urlSecretRef.key": data_plane(*ALL, cache={"urlSecretRef": {"key": "other"}}),
        "gateway.replicas": data_plane(gateway={"replicas": 3}, also=("Deployment/scanplane-gateway",)),
        "gateway.port": data_plane("gateway", gateway={"port": 9000}, also=("Service/scanplane-gateway",)),
        "gateway.tokensSecretRef.name": data_plane("gateway", gateway={"tokensSecretRef": {"name": "tokens-2"}}),
        "gateway.maxClients": data_plane("gateway", gateway={"maxClients": 5}),
        "gateway.maxClientBytes": data_plane("gateway", gateway={"maxClientBytes": 70_000}),
        "gateway.maxUpdatesPerSecond": data_plane("gateway", gateway={"maxUpdatesPerSecond": 2.5}),
        "gateway.service.type": data_plane(
            gateway={"service": {"type": "NodePort"}}, also=("Service/scanplane-gateway",)
        ),
        "gateway.service.annotations": data_plane(
            gateway={"service": {"annotations": {"example.com/internal": "true"}}}, also=("Service/scanplane-gateway",)
        ),
        "telemetry.logLevel": data_plane(*ALL, telemetry={"logLevel": "Debug"}),
        "telemetry.otlpEndpoint": data_plane(*ALL, telemetry={"otlpEndpoint": "http://collector:4318"}),
        "telemetry.traceRatio": data_plane(*ALL, telemetry={"traceRatio": 0.5}),
        "telemetry.exportInterval": data_plane(*ALL, telemetry={"exportInterval": "1s"}),
        "workloads.image": data_plane(*ALL, workloads={"image": "registry/scanplane:2"}, reason="ImageChanged"),
        "workloads.imagePullPolicy": data_plane(*ALL, workloads={"imagePullPolicy": "Always"}),
        "workloads.imagePullSecrets": data_plane(*ALL, workloads={"imagePullSecrets": [{"name": "registry"}]}),
        "workloads.nodeSelector": data_plane(*ALL, workloads={"nodeSelector": {"disk": "fast"}}),
        "workloads.tolerations": data_plane(*ALL, workloads={"tolerations": [{"operator": "Exists"}]}),
        "workloads.priorityClassName": data_plane(*ALL, workloads={"priorityClassName": "high"}),
        **{
            f"workloads.{role}.resources.{path}": data_plane(
                *instances, workloads={role: amounts(*path.split("."), amount)}
            )
            for role, instances in (("listener", LISTENERS), ("analyzer", ANALYZERS), ("gateway", ("gateway",)))
            for path, amount in SAMPLES.items()
        },
        "updatePolicy": data_plane(updatePolicy="MarketClosed"),
    },
    Kind.FEED: {
        "provider": feed(*FEED, *STOCKS, provider="Replay", massive=None, replay={"path": "/recordings/stocks"}),
        "massive.apiKeySecretRef.name": feed(*FEED, massive={"apiKeySecretRef": {"name": "others"}}),
        "massive.apiKeySecretRef.key": feed(*FEED, massive={"apiKeySecretRef": {"key": "other"}}),
        "massive.feed": feed(*FEED, massive={"feed": "Nasdaq"}),
        "massive.endpoint": feed(*FEED, massive={"feed": None, "endpoint": "ws://simulator:8765"}),
        "massive.restEndpoint": feed(*FEED, massive={"restEndpoint": "http://simulator:8765"}),
        "replay.path": feed("listener-tape", resource="tape", replay={"path": "/recordings/others"}),
        "replay.speed": feed("listener-tape", resource="tape", replay={"speed": 60.0}),
        "maxConnections": feed(maxConnections=2),
        "label": feed(*STOCKS, label="synthetic"),
        "staleAfter": feed(*STOCKS, staleAfter="1m"),
    },
    Kind.MARKET: {
        "assetClass": market("analyzer-coins-0", resource="coins", assetClass="Forex"),
        "calendar": market(*STOCKS, calendar="XLON"),
        "sessions.premarket": market(*STOCKS, sessions={"premarket": "07:00"}),
        "sessions.postmarket": market(*STOCKS, sessions={"postmarket": "18:00"}),
        "reference.previousClose": market(*STOCKS, reference={"previousClose": "Provider"}),
        "reference.averageVolume": market(*STOCKS, reference={"averageVolume": "File"}),
        "reference.volumeCurve": market(*STOCKS, reference={"volumeCurve": "None"}),
        "reference.freeFloat": market(*STOCKS, reference={"freeFloat": "File"}),
        "reference.file.symbols": market(*STOCKS, reference={"file": {"symbols": "other.csv"}}),
        "reference.file.volumeCurve": market(*STOCKS, reference={"file": {"volumeCurve": "other.csv"}}),
        "reference.file.configMapRef.name": market(
            *STOCKS, reference={"file": {"configMapRef": {"name": "reference-2"}}}
        ),
        "analyzer.partitions": market(
            *STOCKS, *FEED, analyzer={"partitions": 2}, also=("Deployment/scanplane-analyzer-us-stocks-1",)
        ),
        "analyzer.standby": market(analyzer={"standby": True}, also=("Deployment/scanplane-analyzer-us-stocks-0",)),
        "analyzer.evaluationInterval": market(*STOCKS, *FEED, analyzer={"evaluationInterval": "1s"}),
        "analyzer.maxSymbols": market(*STOCKS, analyzer={"maxSymbols": 100}),
        **{
            f"analyzer.resources.{path}": market(*STOCKS, analyzer=amounts(*path.split("."), amount))
            for path, amount in SAMPLES.items()
        },
    },
    Kind.SUBSCRIPTION: {
        "feedRef.name": subscription(
            *STOCKS,
            reason="FeedChanged, SubscriptionChanged",
            feedRef={"name": "spare"},
            also=("Deployment/scanplane-listener-massive", "Deployment/scanplane-listener-spare"),
        ),
        "marketRef.name": subscription(
            *FEED,
            reason="MarketChanged, SubscriptionChanged",
            marketRef={"name": "spare"},
            also=("Deployment/scanplane-analyzer-spare-0", "Deployment/scanplane-analyzer-us-stocks-0"),
        ),
        "channels": subscription(*STOCKS, *FEED, channels=["Trades"]),
        "symbols": subscription(*FEED, symbols=["AAPL"]),
        "delivery.timeToLive": subscription(*STOCKS, *FEED, delivery={"timeToLive": "5s"}),
        "delivery.publisherConfirms": subscription(*FEED, delivery={"publisherConfirms": False}),
        "delivery.maxBytes": subscription(*STOCKS, *FEED, delivery={"maxBytes": 2_000_000}),
        "delivery.batchDelay": subscription(*FEED, delivery={"batchDelay": "20ms"}),
    },
    Kind.SCANNER: {
        "marketRef.name": scanner(*ANALYZERS, marketRef={"name": "coins"}),
        "where": scanner(*STOCKS, where="price >= 3.0"),
        "board.rankBy": scanner(*STOCKS, board={"rankBy": "volume"}),
        "board.order": scanner(*STOCKS, board={"order": "Ascending"}),
        "board.limit": scanner(*STOCKS, board={"limit": 5}),
        "board.columns": scanner(*STOCKS, board={"columns": ["price"]}),
        "signal.when": scanner(*STOCKS, signal={"when": "new_high_of_day"}),
        "signal.cooldown": scanner(*STOCKS, signal={"cooldown": "1m"}),
    },
}


def leaves(node: SchemaNode, path: str = "") -> Iterator[str]:
    """Yield the path of every field that holds a value."""
    if not node.properties:
        yield path
    for name, child in (node.properties or {}).items():
        yield from leaves(child, f"{path}.{name}" if path else name)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_has_a_row(kind: Kind) -> None:
    assert sorted(ROWS[kind]) == sorted(leaves(spec_schema(KINDS[kind].model)))


@pytest.fixture(scope="module")
def settled() -> World:
    world = World(RESOURCES, secrets=SECRETS, config_maps=CONFIG_MAPS)
    world.settle()
    assert world.instances() == sorted(ALL)
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)
    world.take_rolls()
    return world


@pytest.fixture
def world(settled: World) -> World:
    return copy.deepcopy(settled)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{kind}-{path}") for kind, rows in ROWS.items() for path, row in rows.items()]
)
def test_a_changed_field_rolls_what_reads_it_once_and_nothing_else(world: World, row: Row) -> None:
    before = {name: world.template_annotation(name, "scanplane.io/revision") for name in world.instances()}
    world.patch(row.resource, **row.edit)
    passes = world.settle()
    rolls = world.take_rolls()
    assert sorted(name for name, _ in rolls) == sorted(row.rolls)
    assert {reason.partition(" (")[0] for _, reason in rolls} == ({row.reason} if row.rolls else set())
    cause = "image registry/scanplane:1 became" if row.reason == "ImageChanged" else row.resource
    assert all(cause in reason for _, reason in rolls), rolls
    after = {name: world.template_annotation(name, "scanplane.io/revision") for name in world.instances()}
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == set(row.rolls)
    written = {write.partition(" ")[2] for made in passes for write in made.writes if "ConfigMap" not in write}
    expected = {f"Deployment/scanplane-{name}" for name in row.rolls} | set(row.also)
    if not row.resource.startswith("DataPlane"):  # what it asks of pods is noted on every Deployment, rolled or not
        assert written == expected
    assert expected <= written
    assert all(world.ready(str(key))[0] == "True" for key in world.resources)
