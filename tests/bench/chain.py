"""The whole chain on one machine: provider, listener, RabbitMQ, analyzer with 20 scanners, Redis.

The simulated provider sends trades of 8,000 symbols at a fixed rate; a rate counts as sustained if, at its end, the analyzer
has applied all but half a second of what was sent, and nothing was dropped, expired or repeated anywhere.
"""

import sys
import tempfile
import time
from pathlib import Path

from support.journeys import Deployment, SimulatorProcess, wait_for
from support.servers import RabbitServer, RedisServer

__all__ = ["Sustained", "measure_chain"]

SYMBOLS = 8000
WARM_UP_S = 4.0
MEASURED_S = 8.0

RESOURCES = """
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
metadata: {name: trades}
spec:
  feedRef: {name: simulated}
  marketRef: {name: us-stocks}
  channels: [Trades]
  symbols: ["*"]
"""

SCANNER = """
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: scanner-INDEX}
spec:
  marketRef: {name: us-stocks}
  where: price >= INDEX.0 && volume > 100.0 && change_1m_percent > -50.0
  board: {rankBy: volume_1m + INDEX.0, limit: 50, columns: [price, volume, vwap, high_of_day, change_1m_percent]}
"""


class Sustained:
    """What one rate led to."""

    def __init__(
        self, rate: float, applied: float, behind: float, problems: dict[str, float], latency_ms: float
    ) -> None:
        self.rate = rate
        self.applied = applied
        self.behind = behind
        self.problems = problems
        self.latency_ms = latency_ms

    @property
    def holds(self) -> bool:
        return self.behind < 0.5 * self.rate and not any(self.problems.values())

    def __str__(self) -> str:
        verdict = "sustained" if self.holds else "not sustained"
        lost = ", ".join(f"{name} {value:.0f}" for name, value in self.problems.items() if value)
        return (
            f"{self.rate:>9,.0f} events/s sent: {self.applied:>9,.0f} applied/s, {self.behind:>9,.0f} behind, "
            f"tick to board p99 {self.latency_ms:.0f} ms: {verdict}" + (f" ({lost})" if lost else "")
        )


def measure_chain(rate: float, rabbit: RabbitServer, redis: RedisServer, *, frame_events: int = 500) -> Sustained:
    """Run the chain at *rate* events/s for a few seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = ("load", "--rate", str(rate), "--symbols", str(SYMBOLS), "--channel", "Trades")
        arguments += ("--seconds", "600", "--frame-events", str(frame_events), "--speed", "1")
        with (
            SimulatorProcess(folder, *arguments) as simulator,
            Deployment(folder, f"bench-{time.monotonic_ns()}") as deployment,
        ):
            text = RESOURCES.replace("SIMULATOR_URL", simulator.url).replace("BROKER_URL", rabbit.url)
            text = text.replace("CACHE_URL", redis.url)
            deployment.apply(text + "".join(SCANNER.replace("INDEX", str(index)) for index in range(1, 21)))
            wait_for(lambda: deployment.figure("analyzer-us-stocks-0", "trades_total") > rate, "the first events", 60)
            time.sleep(WARM_UP_S)
            begun, first = time.monotonic(), deployment.figure("analyzer-us-stocks-0", "trades_total")
            time.sleep(MEASURED_S)
            analyzer = deployment.status("analyzer-us-stocks-0")["figures"]
            elapsed = time.monotonic() - begun
            sent = float(simulator.status()["events"])
            listener = deployment.status("listener-simulated")["figures"]
    problems = {
        "missing": analyzer["missing_batches_total"],
        "repeated": analyzer["repeated_batches_total"],
        "dropped frames": listener["dropped_frames_total"],
        "dropped batches": listener["dropped_batches_total"],
        "disconnects": listener["disconnects_total"],
    }
    return Sustained(
        rate,
        (analyzer["trades_total"] - first) / elapsed,
        sent - analyzer["trades_total"],
        problems,
        analyzer["tick_to_board_p99_ms"],
    )


def main() -> None:
    """Print every rate given as an argument, or a ladder of rates."""
    rates = [float(argument) for argument in sys.argv[1:]] or [50_000, 200_000, 300_000, 400_000]
    with RabbitServer() as rabbit, RedisServer() as redis:
        for rate in rates:
            print(measure_chain(rate, rabbit, redis), flush=True)  # noqa: T201  # a benchmark's purpose


if __name__ == "__main__":
    main()
