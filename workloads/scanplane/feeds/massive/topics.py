"""Which topics a listener asks for, and in which messages."""

from collections.abc import Iterable, Iterator, Mapping

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import topic_of

__all__ = ["MAX_PARAMS_BYTES", "batches_of", "topics_of"]

MAX_PARAMS_BYTES = 8192
"""How long the topics of one subscribe message may be; thousands of symbols go out as several messages."""


def topics_of(asset_class: AssetClass, wanted: Iterable[Mapping[Channel, tuple[str, ...] | None]]) -> tuple[str, ...]:
    """Return the topics for *wanted*, each a map of channels to symbols (None for all); sorted, none twice.

    A symbol is left out where its whole channel is asked for as well. Raises KeyError for a channel that the provider
    does not have; the planner refuses it before (:func:`scanplane.marketdata.massive_channels.unsupported_channels`).
    """
    whole: set[Channel] = set()
    single: set[tuple[Channel, str]] = set()
    for channels in wanted:
        for channel, symbols in channels.items():
            if symbols is None or "*" in symbols:
                whole.add(channel)
            else:
                single.update((channel, symbol) for symbol in symbols)
    topics = {topic_of(asset_class, channel, "*") for channel in whole}
    topics.update(topic_of(asset_class, channel, symbol) for channel, symbol in single if channel not in whole)
    return tuple(sorted(topics))


def batches_of(topics: Iterable[str], max_bytes: int = MAX_PARAMS_BYTES) -> Iterator[str]:
    """Yield *topics* joined by commas, at most *max_bytes* of ASCII each; a longer single topic stands alone."""
    batch = ""
    for topic in topics:
        if batch and len(batch) + 1 + len(topic) > max_bytes:
            yield batch
            batch = topic
        else:
            batch = f"{batch},{topic}" if batch else topic
    if batch:
        yield batch
