"""A table of documents, good and bad, that the API server and offline validation must agree on.

Each row is the name of the case, the kind, the body of the ``spec`` as YAML, and whether it is good. Reading YAML is part
of what is compared: the text is sent as it is.
"""

import re
import textwrap
from typing import Any

from hypothesis import strategies

from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import NodeType, SchemaNode, spec_schema

__all__ = ["AGREED", "METADATA", "STRICTER", "document", "specs", "values"]


def document(kind: str, spec: str, name: str = "probe", head: str = "") -> str:
    """Return a whole document; *head* are further lines under metadata."""
    body = textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ")
    metadata = textwrap.indent(textwrap.dedent(head).strip("\n"), "  ")
    return f"apiVersion: scanplane.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n{metadata}\nspec:\n{body}\n"


_FEED = "provider: Massive\nmassive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}\n"
_MASSIVE = "provider: Massive\nmassive: {apiKeySecretRef: {name: massive, key: apiKey}, %s}\n"
_MARKET = "assetClass: Stocks\n"
_SUBSCRIPTION = "feedRef: {name: massive}\nmarketRef: {name: us-stocks}\n"
_ALL = _SUBSCRIPTION + "channels: [Trades]\nsymbols: ['*']\n"
_SCANNER = "marketRef: {name: us-stocks}\n"
_BOARD = _SCANNER + "board: {rankBy: volume, %s}\n"
_GATEWAY = "gateway: {%s}\n"

AGREED: list[tuple[str, str, str, bool]] = [
    ("an empty data plane", "DataPlane", "{}", True),
    ("a null section counts as left out", "DataPlane", "gateway:\ntelemetry: ~", True),
    ("a spec that is null", "DataPlane", "# nothing", False),
    ("an unknown field", "DataPlane", "gateways: {}", False),
    ("a port", "DataPlane", _GATEWAY % "port: 0", True),
    ("a port too high", "DataPlane", _GATEWAY % "port: 65536", False),
    ("a port below zero", "DataPlane", _GATEWAY % "port: -1", False),
    ("a port that a pod has for its status", "DataPlane", _GATEWAY % "port: 8081", False),
    ("the port before it", "DataPlane", _GATEWAY % "port: 8080", True),
    ("a port as a text", "DataPlane", _GATEWAY % "port: '8080'", False),
    ("a whole float for an integer", "DataPlane", _GATEWAY % "port: 8080.0", True),
    ("a broken float for an integer", "DataPlane", _GATEWAY % "port: 8080.5", False),
    ("an exponent for an integer", "DataPlane", _GATEWAY % "maxClients: 1e2", True),
    ("an octal integer", "DataPlane", _GATEWAY % "replicas: 010", True),
    ("a hexadecimal integer", "DataPlane", _GATEWAY % "replicas: 0x10", True),
    ("an integer with underscores", "DataPlane", _GATEWAY % "maxClientBytes: 4_194_304", True),
    ("an integer beyond 64 bits", "DataPlane", _GATEWAY % "maxClientBytes: 99999999999999999999", False),
    ("a boolean for an integer", "DataPlane", _GATEWAY % "replicas: yes", False),
    ("an exclusive bound", "DataPlane", _GATEWAY % "maxUpdatesPerSecond: 0", False),
    ("a number just above it", "DataPlane", _GATEWAY % "maxUpdatesPerSecond: 0.001", True),
    ("an infinite number", "DataPlane", _GATEWAY % "maxUpdatesPerSecond: .inf", False),
    ("a list for a mapping", "DataPlane", "gateway: []", False),
    ("a text for a mapping", "DataPlane", "gateway: yes please", False),
    ("a ratio above one", "DataPlane", "telemetry: {traceRatio: 1.5}", False),
    ("an endpoint that is no URL", "DataPlane", "telemetry: {otlpEndpoint: 'collector:4318'}", False),
    ("a log level in the wrong case", "DataPlane", "telemetry: {logLevel: info}", False),
    ("an interval below its least", "DataPlane", "telemetry: {exportInterval: 10ms}", False),
    ("an interval in another unit", "DataPlane", "telemetry: {exportInterval: 60m}", True),
    ("an interval above its most", "DataPlane", "telemetry: {exportInterval: 61m}", False),
    ("a feed", "Feed", _FEED, True),
    ("an unknown provider", "Feed", "provider: Polygon", False),
    ("a provider without its settings", "Feed", "provider: Massive", False),
    ("a provider with null settings", "Feed", "provider: Massive\nmassive: ~", False),
    ("a provider with another's settings too", "Feed", _FEED + "replay: {path: x}", False),
    ("a recording", "Feed", "provider: Replay\nreplay: {path: day.csv, speed: 0}", True),
    ("a recording without its settings", "Feed", "provider: Replay", False),
    ("a recording with an empty path", "Feed", "provider: Replay\nreplay: {path: ''}", False),
    ("a recording at negative speed", "Feed", "provider: Replay\nreplay: {path: x, speed: -1}", False),
    ("an endpoint instead of a feed", "Feed", _MASSIVE % "endpoint: 'ws://simulator:8765'", True),
    ("an endpoint and a feed", "Feed", _MASSIVE % "endpoint: 'ws://simulator:8765', feed: Delayed", True),
    ("neither endpoint nor feed", "Feed", "provider: Massive\nmassive: {apiKeySecretRef: {name: a, key: b}}", False),
    ("an endpoint that speaks HTTP", "Feed", _MASSIVE % "endpoint: 'http://simulator:8765'", False),
    ("an endpoint with a line break at its end", "Feed", _MASSIVE % 'endpoint: "ws://simulator:8765\\n"', False),
    ("an unknown feed", "Feed", _MASSIVE % "feed: Realtime", False),
    (
        "a key where a reference belongs",
        "Feed",
        "provider: Massive\nmassive: {feed: Delayed, apiKeySecretRef: abc}",
        False,
    ),
    (
        "a reference without its key",
        "Feed",
        "provider: Massive\nmassive: {feed: Delayed, apiKeySecretRef: {name: a}}",
        False,
    ),
    ("a market", "Market", _MARKET, True),
    ("a market without an asset class", "Market", "calendar: XNYS", False),
    ("sessions in quotes", "Market", _MARKET + 'sessions: {premarket: "04:00", postmarket: "20:00"}', True),
    ("sessions without quotes", "Market", _MARKET + "sessions: {premarket: 04:00, postmarket: 20:00}", True),
    ("a session at an hour there isn't", "Market", _MARKET + 'sessions: {premarket: "24:00"}', False),
    ("a session with one digit", "Market", _MARKET + "sessions: {premarket: 4:00}", False),
    ("a session as a number", "Market", _MARKET + "sessions: {premarket: 400}", False),
    ("sessions the wrong way round", "Market", _MARKET + "sessions: {premarket: '20:00', postmarket: '04:00'}", False),
    ("a file that is named", "Market", _MARKET + "reference: {freeFloat: File, file: {symbols: s.csv}}", True),
    ("a file that is not named", "Market", _MARKET + "reference: {freeFloat: File}", False),
    ("the wrong file named", "Market", _MARKET + "reference: {freeFloat: File, file: {volumeCurve: s.csv}}", False),
    ("a curve's file not named", "Market", _MARKET + "reference: {volumeCurve: File, file: {symbols: s.csv}}", False),
    ("partitions", "Market", _MARKET + "analyzer: {partitions: 64, standby: on}", True),
    ("no partitions", "Market", _MARKET + "analyzer: {partitions: 0}", False),
    ("an evaluation that never rests", "Market", _MARKET + "analyzer: {evaluationInterval: 0s}", False),
    ("a duration without a unit", "Market", _MARKET + "analyzer: {evaluationInterval: 250}", False),
    ("a duration with a space", "Market", _MARKET + "analyzer: {evaluationInterval: 250 ms}", False),
    ("a compound duration", "Market", _MARKET + "analyzer: {evaluationInterval: 1m30s}", False),
    ("a duration of too many digits", "Market", _MARKET + "analyzer: {evaluationInterval: 1000000ms}", False),
    ("a subscription", "Subscription", _ALL, True),
    ("an unknown channel", "Subscription", _SUBSCRIPTION + "channels: [trades]\nsymbols: ['*']", False),
    ("no channel", "Subscription", _SUBSCRIPTION + "channels: []\nsymbols: ['*']", False),
    ("a channel twice", "Subscription", _SUBSCRIPTION + "channels: [Trades, Trades]\nsymbols: ['*']", False),
    ("a text for a list", "Subscription", _SUBSCRIPTION + "channels: Trades\nsymbols: ['*']", False),
    (
        "symbols of every kind",
        "Subscription",
        _SUBSCRIPTION + "channels: [Trades]\nsymbols: [BRK.B, 'O:SPY251219C0']",
        True,
    ),
    ("every symbol and one more", "Subscription", _SUBSCRIPTION + "channels: [Trades]\nsymbols: ['*', AAPL]", False),
    ("a symbol that YAML takes for true", "Subscription", _SUBSCRIPTION + "channels: [Trades]\nsymbols: [ON]", False),
    (
        "a symbol of one letter that it does too",
        "Subscription",
        _SUBSCRIPTION + "channels: [Trades]\nsymbols: [Y]",
        False,
    ),
    ("the same in quotes", "Subscription", _SUBSCRIPTION + "channels: [Trades]\nsymbols: ['ON', 'Y']", True),
    ("a null among symbols", "Subscription", _SUBSCRIPTION + "channels: [Trades]\nsymbols: [AAPL, ~]", False),
    (
        "a delivery",
        "Subscription",
        _ALL + "delivery: {timeToLive: 5s, publisherConfirms: false, batchDelay: 0ms}",
        True,
    ),
    ("a queue that is too small", "Subscription", _ALL + "delivery: {maxBytes: 1048575}", False),
    ("a text for a boolean", "Subscription", _ALL + "delivery: {publisherConfirms: 'true'}", False),
    ("a scanner with a board", "Scanner", _BOARD % "limit: 50, columns: [price]", True),
    ("a scanner with neither board nor signal", "Scanner", _SCANNER + "where: price > 2.0", False),
    ("a signal that nothing decides", "Scanner", _SCANNER + "signal: {cooldown: 1m}", False),
    ("a signal by where alone", "Scanner", _SCANNER + "where: price > 2.0\nsignal: {}", True),
    ("a signal by when alone", "Scanner", _SCANNER + "signal: {when: new_high_of_day}", True),
    ("a signal whose field YAML takes for true", "Scanner", _SCANNER + "signal: {on: new_high_of_day}", False),
    ("an empty expression", "Scanner", _SCANNER + "where: ''\nboard: {rankBy: volume}", False),
    (
        "an expression of 4097 characters",
        "Scanner",
        _SCANNER + f"where: {'x' * 4097}\nboard: {{rankBy: volume}}",
        False,
    ),
    ("a number for an expression", "Scanner", _SCANNER + "board: {rankBy: 1}", False),
    ("an expression over several lines", "Scanner", _SCANNER + "where: >-\n  a\n  && b\nboard: {rankBy: volume}", True),
    ("a limit too high", "Scanner", _BOARD % "limit: 501", False),
    ("a column that is no name", "Scanner", _BOARD % "columns: [Price]", False),
    ("a column twice", "Scanner", _BOARD % "columns: [price, price]", False),
    ("33 columns", "Scanner", _BOARD % f"columns: [{', '.join(f'c{number}' for number in range(33))}]", False),
    ("a reference in capitals", "Scanner", "marketRef: {name: US}\nboard: {rankBy: volume}", False),
    ("a reference of 49 characters", "Scanner", f"marketRef: {{name: {'m' * 49}}}\nboard: {{rankBy: volume}}", False),
    ("a field given twice", "Scanner", _BOARD % "limit: 1" + "where: a\nwhere: b", False),
    ("an anchor and its alias", "Scanner", "marketRef: {name: &n us}\nwhere: *n\nboard: {rankBy: volume}", True),
    ("a merged mapping", "Market", _MARKET + "analyzer: {<<: {partitions: 2}, standby: true}", True),
]
"""Name, kind, spec and whether it is good."""

STRICTER: list[tuple[str, str, str, str]] = [
    ("a reserved annotation", "DataPlane", "annotations: {scanplane.io/pause: 'true'}", "{}"),
    ("a pause that is neither true nor false", "DataPlane", "annotations: {scanplane.io/paused: 'yes'}", "{}"),
    ("a reserved label", "DataPlane", "labels: {scanplane.io/role: mine}", "{}"),
    ("an expression that YAML takes for a tag and cuts", "Scanner", "", _SCANNER + "signal: {when: !has x}"),
]
"""Name, kind, lines under metadata and spec of documents that the API server takes although they can't be meant so."""

METADATA: list[tuple[str, str, str, bool]] = [
    (
        "labels and annotations",
        "probe",
        "labels: {a.example/b: c, d: ''}\nannotations: {a.example/b: 'any: thing'}",
        True,
    ),
    ("a label that YAML takes for true", "probe", "labels: {a: yes}", False),
    ("an annotation that is a number", "probe", "annotations: {a: 1}", False),
    ("a label with a space", "probe", "labels: {a: 'b c'}", False),
    ("a label's key with two slashes", "probe", "labels: {a/b/c: d}", False),
    ("a label's key that ends with a hyphen", "probe", "labels: {a-: d}", False),
    ("a label of 64 characters", "probe", f"labels: {{a: {'b' * 64}}}", False),
    ("a label's key below a long domain", "probe", f"labels: {{{'d' * 254}/b: c}}", False),
    ("an annotation's key in capitals", "probe", "annotations: {EXAMPLE.com/B: c}", True),
    ("a field of metadata that isn't", "probe", "lables: {a: b}", False),
    ("a name in capitals", "Probe", "", False),
    ("a name with a dot", "probe.one", "", False),
    ("a name of 48 characters", "n" * 48, "", True),
    ("a name of 49 characters", "n" * 49, "", False),
    ("a name that YAML takes for a number", "12", "", False),
    ("a name that YAML takes for true", "yes", "", False),
    ("a name that begins with a hyphen", "'-a'", "", False),
]
"""Name of the case, name of the object, further lines under metadata and whether it is good."""


def specs(kind: Kind) -> strategies.SearchStrategy[dict[str, Any]]:
    """Generate specs of a kind: mostly of the right form, so that the rules between fields decide, sometimes not."""
    return values(spec_schema(KINDS[kind].model))


def values(node: SchemaNode) -> strategies.SearchStrategy[Any]:
    """Generate values of a node, its bounds and just beyond among them."""
    match node.type:
        case NodeType.OBJECT:
            fields = {name: values(child) for name, child in node.properties.items()}
            required = {name: fields.pop(name) for name in node.required}
            return strategies.fixed_dictionaries(required, optional=fields)
        case NodeType.ARRAY:
            assert node.items is not None
            return strategies.lists(values(node.items), max_size=3)
        case NodeType.BOOLEAN:
            return strategies.booleans()
        case NodeType.STRING:
            return strategies.sampled_from(node.enum) if node.enum else _texts(node)
        case NodeType.INTEGER | NodeType.NUMBER:
            bounds = [bound for bound in (node.minimum, node.above, node.maximum) if bound is not None]
            bounds += [int(number) for rule in node.rules for number in re.findall(r"\d+", rule.expression)]
            near = [int(bound) + step for bound in bounds for step in (-1, 0, 1)]
            return strategies.sampled_from(near or [1])


def _texts(node: SchemaNode) -> strategies.SearchStrategy[str]:
    if "(ms|s|m|h)" in node.pattern:
        return strategies.sampled_from(["0s", "9ms", "10ms", "100ms", "1s", "10s", "60m", "1h", "24h", "999999h"])
    if "[0-5][0-9]" in node.pattern:
        return strategies.sampled_from(["04:00", "09:30", "20:00"])
    if "ws" in node.pattern or "http" in node.pattern:
        return strategies.sampled_from(["ws://a", "wss://a/b", "http://a", "https://a:1/b"])
    return strategies.sampled_from(["*", "aapl", "price", "a"])
