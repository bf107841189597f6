"""The processes under measurement: the simulated provider and the roles, from resources such as a user writes.

20 scanners over 8,000 symbols, each with a board of 50 rows and five columns, every fifth with signals as well; evaluated four
times a second.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
from msgspec import Struct

from scanplane.cache import keys
from scanplane.cache.factory import open_cache
from scanplane.engine.snapshots import Header
from scanplane.engine.state import LAYOUT_VERSION
from scanplane.marketdata.partitions import Partition
from support.journeys import Deployment, SimulatorProcess, wait_for
from support.servers import free_port

__all__ = [
    "ANALYZER",
    "GATEWAY",
    "LISTENER",
    "MARKET",
    "SYMBOLS",
    "Pipeline",
    "hear_since_ever",
    "look",
    "new_namespace",
    "resources",
    "running",
]

SYMBOLS = 8000
SCANNERS = 20
MARKET = "us-stocks"
LISTENER = "listener-simulated"
ANALYZER = "analyzer-us-stocks-0"
GATEWAY = "gateway"

_RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {name: services}
stringData: {apiKey: demo, broker: "BROKER_URL", cache: "CACHE_URL"}
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
  gateway: {port: GATEWAY_PORT}
  telemetry: {TELEMETRY}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: simulated}
spec: {provider: Massive, massive: {endpoint: "SIMULATOR_URL", apiKeySecretRef: {name: services, key: apiKey}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec: {assetClass: Stocks, calendar: 24/7}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: everything}
spec:
  feedRef: {name: simulated}
  marketRef: {name: us-stocks}
  channels: [CHANNEL]
  symbols: ["*"]
  delivery: {timeToLive: TIME_TO_LIVE}
"""

_SCANNER = """
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: scanner-NUMBER}
spec:
  marketRef: {name: us-stocks}
  where: price >= 1.0 + NUMBER.0 / 4.0 && volume > NUMBER.0 * 100.0
  board: {rankBy: RANK, limit: 50, columns: [price, volume, vwap, high_of_day, change_from_open_percent]}
"""

_RANKS = ("volume", "change_from_open_percent", "dollar_volume", "range_percent", "price / vwap")
_SIGNAL = "  signal: {when: new_high_of_day && price > vwap * 1.02, cooldown: 60s}\n"


def resources(
    broker_url: str,
    cache_url: str,
    *,
    simulator_url: str = "ws://127.0.0.1:1",
    channel: str = "Trades",
    time_to_live: str = "30s",
    gateway_port: int = 0,
    telemetry: str = "logLevel: Warning",
) -> str:
    """Return the YAML of everything."""
    text = _RESOURCES
    for place, value in (
        ("BROKER_URL", broker_url),
        ("CACHE_URL", cache_url),
        ("SIMULATOR_URL", simulator_url),
        ("GATEWAY_PORT", str(gateway_port)),
        ("CHANNEL", channel),
        ("TIME_TO_LIVE", time_to_live),
        ("TELEMETRY", telemetry),
    ):
        text = text.replace(place, value)
    for number in range(1, SCANNERS + 1):
        text += _SCANNER.replace("NUMBER", str(number)).replace("RANK", _RANKS[number % len(_RANKS)])
        text += _SIGNAL if number % 5 == 0 else ""
    return text


def new_namespace() -> str:
    """Return a namespace that nothing in broker or cache belongs to yet."""
    return f"bench-{time.monotonic_ns()}"


def hear_since_ever(cache_url: str, namespace: str) -> None:
    """Let the analyzer find a state that has heard the day from its beginning: else nothing of the day would be known."""

    header = Header(LAYOUT_VERSION, 0, None, -(2**62), since_ns=0)
    state = {"header": msgspec.msgpack.encode(header), "symbols": msgspec.msgpack.encode([])}

    async def save() -> None:
        cache = open_cache(cache_url, namespace)
        await cache.save_state(keys.state(namespace, MARKET, Partition(0, 1)), 0, state)
        await cache.close()

    asyncio.run(save())


def look(deployment: Deployment, name: str) -> tuple[float, dict[str, float]]:
    """Return the figures of a role, and the second, by its own clock, at which they were true."""
    status = deployment.status(name)
    return status["updatedNs"] / 1e9, status["figures"]


class Pipeline(Struct):
    """What runs. ``gateway_url`` leads nowhere where no gateway was asked for."""

    simulator: SimulatorProcess
    deployment: Deployment
    gateway_url: str

    def look(self, name: str) -> tuple[float, dict[str, float]]:
        """Return the figures of a role, and the second at which they were true: a busy role answers late."""
        return look(self.deployment, name)

    def figures(self, name: str) -> dict[str, float]:
        """Return the figures of a role."""
        return self.look(name)[1]

    def wait_for_figure(self, name: str, figure: str, value: float, patience_s: float = 60.0) -> None:
        """Wait until a figure of a role is more than *value*."""
        wait_for(lambda: self.figures(name).get(figure, 0.0) > value, f"{figure} of {name}", patience_s)

    def provider(self) -> dict[str, Any]:
        """Return the simulator's status."""
        return self.simulator.status()

    def processor_seconds(self, name: str) -> float:
        """Return the processor time that a role has taken so far, in seconds."""
        times = psutil.Process(self.deployment.pid(name)).cpu_times()
        return times.user + times.system


@contextmanager
def running(
    broker_url: str, cache_url: str, *load: str, without: frozenset[str] = frozenset(), **choices: str
) -> Iterator[Pipeline]:
    """Run the simulator with the arguments *load*, and all roles but those *without*; *choices* are of ``resources``."""
    with tempfile.TemporaryDirectory() as name:
        arguments = ("load", "--symbols", str(SYMBOLS), *load)
        with (
            SimulatorProcess(Path(name), *arguments) as simulator,
            beside(simulator, broker_url, cache_url, without=without, **choices) as pipeline,
        ):
            yield pipeline


@contextmanager
def beside(
    simulator: SimulatorProcess,
    broker_url: str,
    cache_url: str,
    *,
    without: frozenset[str] = frozenset(),
    **choices: str,
) -> Iterator[Pipeline]:
    """Run roles on a simulator that may have other clients; as ``running`` else."""
    port = free_port()
    text = resources(broker_url, cache_url, simulator_url=simulator.url, gateway_port=port, **choices)  # type: ignore[arg-type]
    namespace = new_namespace()
    hear_since_ever(cache_url, namespace)
    with tempfile.TemporaryDirectory() as name, Deployment(Path(name), namespace) as deployment:
        deployment.apply(text, without=without)
        yield Pipeline(simulator, deployment, f"http://127.0.0.1:{port}")
