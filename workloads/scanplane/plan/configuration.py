"""What a role reads once, at start, and never again: every default decided, every reference resolved.

A configuration is encoded as canonical JSON; its SHA-256 names it. Two configurations of the same hash are the same
process; another hash is another process (see the restart contract in ``docs/design/restart.md``).
Secrets stand in it as references only; what they hold is hashed into ``credentials_digest``.
"""

import enum
import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.partitions import Partition
from scanplane.resources.data_plane import LogLevel
from scanplane.resources.market import ReferenceSource

__all__ = [
    "AnalyzerConfiguration",
    "BoardConfiguration",
    "GatewayConfiguration",
    "ListenerConfiguration",
    "MassiveConnection",
    "ReferenceConfiguration",
    "ReplayConnection",
    "Role",
    "RoleConfiguration",
    "Route",
    "ScannerConfiguration",
    "SecretKey",
    "Services",
    "SessionHours",
    "SignalConfiguration",
    "Stream",
    "config_map_keys",
    "configuration_hash",
    "decode_configuration",
    "encode_configuration",
    "role_of",
    "secrets_of",
]


class Role(enum.StrEnum):
    """The kinds of workload."""

    LISTENER = "listener"
    ANALYZER = "analyzer"
    GATEWAY = "gateway"


class SecretKey(Struct, frozen=True):
    """Where a secret value is found: a Secret's name and a key in it."""

    name: str
    key: str


class Services(Struct, frozen=True, kw_only=True):
    """What every role shares. A url of None is the home's own in-memory broker or cache."""

    namespace: str
    broker_url: SecretKey | None
    cache_url: SecretKey | None
    log_level: LogLevel
    otlp_endpoint: str | None
    trace_ratio: float
    export_interval_ns: int


class MassiveConnection(Struct, frozen=True, kw_only=True, tag="Massive", tag_field="provider"):
    """``endpoint`` is complete: ``wss://socket.massive.com/stocks``.

    ``rest_endpoint`` belongs to the same provider; empty where an endpoint of the user's own comes without one. ``feed`` says
    which of the provider's feeds it is; another one is another connection, even by way of the same endpoint.
    """

    endpoint: str
    rest_endpoint: str
    api_key: SecretKey
    asset_class: AssetClass
    feed: str | None = None


class ReplayConnection(Struct, frozen=True, kw_only=True, tag="Replay", tag_field="provider"):
    """A recording; ``speed`` 0 is as fast as it goes."""

    path: str
    speed: float


class Route(Struct, frozen=True, kw_only=True):
    """What of a feed goes to one market, and how.

    ``symbols`` is None for all. ``stamps_ticks`` is true for exactly one route of a market: the feed whose
    event time is the market's clock. ``ticks_while_away`` says that this clock goes on while the connection is away, since
    other feeds deliver to the market meanwhile.
    """

    market: str
    partitions: int
    channels: dict[Channel, tuple[str, ...] | None]
    stamps_ticks: bool
    evaluation_interval_ns: int
    time_to_live_ns: int
    max_bytes: int
    publisher_confirms: bool
    batch_delay_ns: int
    ticks_while_away: bool = False


class ListenerConfiguration(Struct, frozen=True, kw_only=True, tag="listener", tag_field="role"):
    """One listener: the one connection of one Feed. ``feed`` is the Feed's name and that of its baton."""

    feed: str
    services: Services
    connection: MassiveConnection | ReplayConnection
    routes: tuple[Route, ...]
    credentials_digest: str
    sources: dict[str, str]

    @property
    def name(self) -> str:
        """The instance's name, equal for all its configurations."""
        return f"listener-{self.feed}"


class SessionHours(Struct, frozen=True, kw_only=True):
    """A calendar and the extended hours around its regular session, as HH:MM exchange local time or None."""

    calendar: str
    premarket: str | None
    postmarket: str | None


class ReferenceConfiguration(Struct, frozen=True, kw_only=True):
    """Where reference figures come from. Files are paths; ``rest_endpoint`` and ``api_key`` serve source Provider.

    ``config_map`` names the ConfigMap that the files are keys of, on a cluster, and ``files_digest`` what they hold.
    """

    previous_close: ReferenceSource
    average_volume: ReferenceSource
    volume_curve: ReferenceSource
    free_float: ReferenceSource
    symbols_file: str | None
    volume_curve_file: str | None
    rest_endpoint: str | None
    api_key: SecretKey | None
    config_map: str | None = None
    files_digest: str = ""


class BoardConfiguration(Struct, frozen=True, kw_only=True):
    """A board as a Scanner asks for it."""

    rank_by: str
    descending: bool
    limit: int
    columns: tuple[str, ...]


class SignalConfiguration(Struct, frozen=True, kw_only=True):
    """A signal as a Scanner asks for it; ``when`` is None where ``where`` alone decides."""

    when: str | None
    cooldown_ns: int


class ScannerConfiguration(Struct, frozen=True, kw_only=True):
    """One question; the expressions are CEL source and are known to compile."""

    name: str
    where: str | None
    board: BoardConfiguration | None
    signal: SignalConfiguration | None


class Stream(Struct, frozen=True, kw_only=True):
    """One feed that this partition consumes; all of a partition's streams share the partition's queue.

    ``stale_after_ns`` is how long the feed may be silent while the market is open; 0 for as long as it likes.
    """

    feed: str
    channels: tuple[Channel, ...]
    stamps_ticks: bool
    stale_after_ns: int


class AnalyzerConfiguration(Struct, frozen=True, kw_only=True, tag="analyzer", tag_field="role"):
    """One analyzer: one partition of a market, with every scanner of it.

    ``stale_after_ns`` is how long after an evaluation its boards count as fresh.
    """

    market: str
    partition: Partition
    services: Services
    asset_class: AssetClass
    hours: SessionHours
    reference: ReferenceConfiguration
    scanners: tuple[ScannerConfiguration, ...]
    streams: tuple[Stream, ...]
    evaluation_interval_ns: int
    max_symbols: int
    time_to_live_ns: int
    max_bytes: int
    data_label: str
    stale_after_ns: int
    credentials_digest: str
    sources: dict[str, str]

    @property
    def name(self) -> str:
        """The instance's name, equal for all its configurations."""
        return f"analyzer-{self.market}-{self.partition.index}"


class GatewayConfiguration(Struct, frozen=True, kw_only=True, tag="gateway", tag_field="role"):
    """The gateway. It finds markets and boards in the cache, so that a new Scanner does not restart it."""

    services: Services
    port: int
    tokens_secret: str | None
    max_clients: int
    max_client_bytes: int
    max_updates_per_second: float
    credentials_digest: str
    sources: dict[str, str]

    @property
    def name(self) -> str:
        """The instance's name, equal for all its configurations."""
        return "gateway"


RoleConfiguration = ListenerConfiguration | AnalyzerConfiguration | GatewayConfiguration


def role_of(configuration: RoleConfiguration) -> str:
    """Return ``listener``, ``analyzer`` or ``gateway``."""
    return str(configuration.__struct_config__.tag)


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(RoleConfiguration)
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode_configuration(configuration: RoleConfiguration) -> bytes:
    """Encode as canonical JSON: sorted keys, no white space."""
    return _ENCODER.encode(configuration)


def decode_configuration(document: bytes) -> RoleConfiguration:
    """Decode what :func:`encode_configuration` wrote. Raises msgspec.DecodeError."""
    configuration: RoleConfiguration = _DECODER.decode(document)
    return configuration


def configuration_hash(configuration: RoleConfiguration) -> str:
    """Return the first 10 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(encode_configuration(configuration)).hexdigest()[:10]


def config_map_keys(*files: str | None) -> list[str]:
    """Return those of *files* that are keys of a ConfigMap, on a cluster; one with an absolute path is in the image."""
    return [file for file in files if file is not None and not file.startswith("/")]


def secrets_of(configuration: RoleConfiguration) -> tuple[SecretKey, ...]:
    """Return the Secret keys that a role reads; a Secret that is read as a whole has the empty key."""
    services = configuration.services
    keys: list[SecretKey | None] = [services.broker_url, services.cache_url]
    match configuration:
        case ListenerConfiguration(connection=MassiveConnection(api_key=api_key)):
            keys.append(api_key)
        case AnalyzerConfiguration(reference=reference):
            keys.append(reference.api_key)
        case GatewayConfiguration(tokens_secret=str(tokens)):
            keys.append(SecretKey(tokens, ""))
        case _:
            pass
    return tuple(sorted({key for key in keys if key is not None}, key=lambda key: (key.name, key.key)))
