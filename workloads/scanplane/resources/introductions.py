"""What stands above the tables of each kind in ``docs/resources.md``: an example, and what no single field says."""

from msgspec import Struct

from scanplane.resources.kinds import Kind

__all__ = ["INTRODUCTIONS", "Introduction"]


class Introduction(Struct, frozen=True):
    """*example* is YAML that is accepted together with the examples of the other kinds; *text* is Markdown."""

    example: str
    text: str


_DATA_PLANE = Introduction(
    example="""\
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: scanplane-services, key: brokerUrl}}
  cache: {urlSecretRef: {name: scanplane-services, key: cacheUrl}}
  gateway: {replicas: 2, tokensSecretRef: {name: readers}}
  workloads:
    analyzer: {resources: {limits: {memory: 2Gi}}}
  updatePolicy: MarketClosed
""",
    text="""\
Any other name is refused. A cluster needs one, with a broker and a cache; `scanplane up` can do without. `gateway.port` 0 is a
free port with `scanplane up`, and 8080 on a cluster.

Of the resources of pods, what nobody says more of is as follows. It fits on a node of two cores, while it is
rolled out too. The processor has no limit, since a throttled analyzer is a late one.

| role | requests | limits |
|---|---|---|
| listener | cpu 100m, memory 128Mi | memory 512Mi |
| analyzer | cpu 150m, memory 256Mi | memory 1Gi |
| gateway | cpu 50m, memory 128Mi | memory 512Mi |
""",
)

_FEED = Introduction(
    example="""\
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  massive:
    feed: RealTime
    apiKeySecretRef: {name: massive, key: apiKey}
""",
    text="""\
`provider` decides which other fields are used: `massive` or `replay`, never both. [providers.md](providers.md) has an example
of a recording, and says what each provider is told. A Feed that no Subscription refers to runs nothing.
""",
)

_MARKET = Introduction(
    example="""\
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  calendar: XNYS
  sessions: {premarket: "04:00", postmarket: "20:00"}
  reference:
    previousClose: Provider
    averageVolume: Provider
    volumeCurve: File
    freeFloat: File
    file: {symbols: symbols.csv, volumeCurve: volume_curve.csv, configMapRef: {name: us-stocks-reference}}
  analyzer: {partitions: 2, standby: true}
""",
    text="""\
`kubectl scale market/us-stocks --replicas=4` sets `spec.analyzer.partitions`. A figure of `reference` without a source stays
unknown, and with it every [feature](features.md) that needs it. `freeFloat` and `volumeCurve` are not in the provider's bulk
data: their source is `File` or `None`. Paths of `reference.file` start from the folder of the resource's file with
`scanplane up`; on a cluster they are keys of the ConfigMap, or absolute paths in the image.
""",
)

_SUBSCRIPTION = Introduction(
    example="""\
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: us-stocks-seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
  delivery: {timeToLive: 5s}
""",
    text="""\
Which channels an asset class has, and its delayed feeds, is in [providers.md](providers.md#channels). Subscriptions to one Market
share its queues, so what they say under `delivery` must agree; one that says nothing goes along. Figures are told of one that
shares neither its Feed nor its Market with another: of two, nobody could say what is whose.
""",
)

_SCANNER = Introduction(
    example="""\
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: low-float-gappers}
spec:
  marketRef: {name: us-stocks}
  where: price >= 2.0 && price <= 20.0 && gap_percent >= 4.0 && relative_volume >= 5.0 && free_float < 20e6
  board: {rankBy: gap_percent, order: Descending, limit: 50, columns: [price, gap_percent, relative_volume, volume]}
  signal: {when: new_high_of_day, cooldown: 60s}
""",
    text="""\
[expressions.md](expressions.md) says how `where`, `board.rankBy` and `signal.when` are written, [features.md](features.md) what
they can ask.
""",
)

INTRODUCTIONS: dict[Kind, Introduction] = {
    Kind.DATA_PLANE: _DATA_PLANE,
    Kind.FEED: _FEED,
    Kind.MARKET: _MARKET,
    Kind.SUBSCRIPTION: _SUBSCRIPTION,
    Kind.SCANNER: _SCANNER,
}
