"""A listener's route as tests take it: trades of one market in one partition, a tick each second."""

from scanplane.marketdata.channels import Channel
from scanplane.plan.configuration import Route

__all__ = ["ROUTE"]

_SECOND_NS = 10**9

ROUTE = Route(
    market="us-stocks",
    partitions=1,
    channels={Channel.TRADES: None},
    stamps_ticks=True,
    evaluation_interval_ns=_SECOND_NS,
    time_to_live_ns=30 * _SECOND_NS,
    max_bytes=2**29,
    publisher_confirms=True,
    batch_delay_ns=5_000_000,
)
