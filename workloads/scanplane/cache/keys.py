"""Every key of the cache is built here, and nowhere else.

The first part is the namespace, so that several installations share one Redis without meeting.
"""

from scanplane.marketdata.partitions import Partition

__all__ = [
    "board",
    "boards_prefix",
    "path_fence",
    "paths",
    "quotes",
    "signals",
    "signals_prefix",
    "state",
    "status",
    "status_fence",
    "status_prefix",
]


def board(namespace: str, market: str, scanner: str, partition: Partition) -> str:
    """One partition's part of a board (a value): a BoardPart as JSON."""
    return f"{namespace}:boards:{market}:{scanner}:{partition}"


def boards_prefix(namespace: str, market: str | None = None) -> str:
    """The common beginning of the boards of one market, or of all."""
    return f"{namespace}:boards:" if market is None else f"{namespace}:boards:{market}:"


def quotes(namespace: str, market: str) -> str:
    """The quotes of a market (a table): symbol → QuoteRow as JSON."""
    return f"{namespace}:quotes:{market}"


def signals(namespace: str, market: str, partition: Partition) -> str:
    """One partition's signals (a stream): Signal as JSON."""
    return f"{namespace}:signals:{market}:{partition}"


def signals_prefix(namespace: str, market: str | None = None) -> str:
    """The common beginning of the signal streams of one market, or of all."""
    return f"{namespace}:signals:" if market is None else f"{namespace}:signals:{market}:"


def state(namespace: str, market: str, partition: Partition) -> str:
    """An analyzer's saved state; its key is also the fence of all that the analyzer writes."""
    return f"{namespace}:state:{market}:{partition}"


def paths(namespace: str, market: str) -> str:
    """Which numbers of partitions the market's batches went through (a table): feed → Path as JSON."""
    return f"{namespace}:paths:{market}"


def path_fence(namespace: str, market: str, feed: str) -> str:
    """The fence of a feed's path: a listener that lost its baton can't overwrite what the next one wrote."""
    return f"{namespace}:path-fence:{market}:{feed}"


def status(namespace: str, instance: str) -> str:
    """The live figures of a role instance (a value): a RoleStatus as JSON."""
    return f"{namespace}:status:{instance}"


def status_fence(namespace: str, instance: str) -> str:
    """The fence of a role instance's live figures: whoever lost the baton can't overwrite those of the next holder."""
    return f"{namespace}:status-fence:{instance}"


def status_prefix(namespace: str) -> str:
    """The common beginning of all live figures."""
    return f"{namespace}:status:"
