"""Resources for journeys, as people write them: YAML with a few places filled in."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["a_board", "a_signal", "massive_feed", "on_servers", "pipeline", "replay_feed"]

_PIPELINE = """
apiVersion: v1
kind: Secret
metadata: {{name: services}}
stringData: {{apiKey: demo{secrets}}}
---
{feed}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {{name: us-stocks}}
spec:
  assetClass: Stocks
  sessions: {{premarket: "04:00", postmarket: "20:00"}}
  analyzer: {{evaluationInterval: {interval}, partitions: {partitions}}}
  reference: {{previousClose: {previous_close}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {{name: everything}}
spec:
  feedRef: {{name: simulated}}
  marketRef: {{name: us-stocks}}
  channels: [{channels}]
  symbols: ["*"]
  delivery: {{timeToLive: 10m, batchDelay: {batch_delay}}}
{scanners}
"""

_FEED = """
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {{name: simulated}}
spec:
  provider: {provider}
  label: recorded
  {settings}
"""

_DATA_PLANE = """
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
"""

_SCANNER = """
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {{name: {name}}}
spec:
  marketRef: {{name: us-stocks}}
"""


def massive_feed(url: str) -> str:
    """Return a Feed that connects to a provider's WebSocket at *url*; its REST service is on the same port."""
    rest = url.replace("ws://", "http://")
    settings = (
        f"massive: {{endpoint: '{url}', restEndpoint: '{rest}', apiKeySecretRef: {{name: services, key: apiKey}}}}"
    )
    return _FEED.format(provider="Massive", settings=settings)


def replay_feed(path: Path, speed: float) -> str:
    """Return a Feed that plays the recording at *path*."""
    return _FEED.format(provider="Replay", settings=f"replay: {{path: '{path}', speed: {speed}}}")


def a_board(
    name: str,
    rank_by: str,
    columns: Sequence[str],
    *,
    where: str | None = None,
    order: str = "Descending",
    signal: str | None = None,
) -> str:
    """Return a Scanner with a board of 50, and perhaps with a *signal* that carries the same columns."""
    board = f"  board: {{rankBy: {rank_by}, order: {order}, limit: 50, columns: [{', '.join(columns)}]}}\n"
    fires = "" if signal is None else f"  signal: {{when: {signal}}}\n"
    return _SCANNER.format(name=name) + _condition(where) + board + fires


def a_signal(name: str, when: str, *, where: str | None = None, cooldown: str = "0s") -> str:
    """Return a Scanner with a signal alone."""
    return _SCANNER.format(name=name) + _condition(where) + f"  signal: {{when: {when}, cooldown: {cooldown}}}\n"


def _condition(where: str | None) -> str:
    return "" if where is None else f"  where: {where}\n"


def pipeline(
    feed: str,
    channels: Sequence[str],
    scanners: Sequence[str],
    *,
    interval: str = "250ms",
    partitions: int = 1,
    previous_close: str = "None",
    batch_delay: str = "5ms",
) -> str:
    """Return everything from a Feed to its Scanners, with broker and cache in memory."""
    return _PIPELINE.format(
        secrets="",
        feed=feed,
        interval=interval,
        partitions=partitions,
        previous_close=previous_close,
        channels=", ".join(channels),
        batch_delay=batch_delay,
        scanners="".join(scanners),
    )


def on_servers(text: str, broker_url: str, cache_url: str) -> str:
    """Return the pipeline *text* with a real broker and cache instead."""
    secrets = f"apiKey: demo, broker: '{broker_url}', cache: '{cache_url}'"
    return text.replace("apiKey: demo", secrets, 1) + _DATA_PLANE
