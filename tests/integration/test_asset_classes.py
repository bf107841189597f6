"""Every channel of every asset class, from the provider's socket to the boards, in one partition and in three."""

import re
from collections import Counter

import pytest

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import TOPIC_PREFIXES, canonical_symbol
from scanplane.marketdata.partitions import partition_of
from scanplane.simulator.sessions.channels import INSTRUMENTS, ChannelSession
from scanplane.simulator.topics import event_type_of
from support.memory_home import play_session
from support.resource_texts import a_board, pipeline

COLUMNS = ("price", "high", "low")
NOT_MADE = {asset_class: {Channel.FAIR_MARKET_VALUE} for asset_class in (AssetClass.CRYPTO, AssetClass.FOREX)}
"""Channels that the provider has and the simulator does not make."""


def resources(asset_class: AssetClass, feed: str, partitions: int) -> str:
    text = pipeline(
        feed,
        [channel.value for channel in TOPIC_PREFIXES[asset_class]],
        [a_board("prices", "price", COLUMNS)],
        partitions=partitions,
        interval="1s",
    ).replace("assetClass: Stocks", f"assetClass: {asset_class}")
    if asset_class in {AssetClass.CRYPTO, AssetClass.FOREX}:  # never closed, so there is nothing before or after
        text = text.replace('  sessions: {premarket: "04:00", postmarket: "20:00"}\n', "")
    if asset_class is AssetClass.OPTIONS:  # the provider has no topic for all quotes of options
        names = ", ".join(symbol for symbol, _ in INSTRUMENTS[asset_class])
        text = text.replace('symbols: ["*"]', f"symbols: [{names}]")
    return text


def sent(asset_class: AssetClass, partitions: int) -> tuple[list[Counter[Channel]], dict[str, float]]:
    """How many events of each channel belong to each partition, and the last price of each symbol."""
    channels = {prefix: channel for channel, prefix in TOPIC_PREFIXES[asset_class].items()}
    counts: list[Counter[Channel]] = [Counter() for _ in range(partitions)]
    prices: dict[str, float] = {}
    for block in ChannelSession(asset_class).blocks():
        for message in block.messages:
            symbol = canonical_symbol(asset_class, message.symbol)
            counts[partition_of(symbol, partitions)][channels[event_type_of(message)]] += 1
            prices[symbol] = getattr(message, "close", prices.get(symbol, 0.0))
    return counts, prices


def figure_of(channel: Channel) -> str:
    return re.sub("(?<=.)(?=[A-Z])", "_", channel).lower() + "_total"


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("asset_class", AssetClass)
async def test_every_event_reaches_the_partition_of_its_symbol_and_its_board(
    asset_class: AssetClass, partitions: int
) -> None:
    counts, prices = sent(asset_class, partitions)
    made = {channel for each in counts for channel in each}
    assert TOPIC_PREFIXES[asset_class].keys() - made == NOT_MADE.get(asset_class, set())
    run = await play_session(ChannelSession(asset_class), lambda feed: resources(asset_class, feed, partitions))
    assert run.losses() == {}
    assert run.connections == 1
    for index, (name, figures) in enumerate(sorted(run.figures.analyzers.items())):
        assert name == f"analyzer-us-stocks-{index}"
        assert {channel: figures.get(figure_of(channel), 0) for channel in made} == {
            channel: counts[index][channel] for channel in made
        }
    assert len(run.figures.analyzers) == partitions
    assert {symbol: row.values["price"] for symbol, row in run.quotes.items()} == prices
    board = run.results.merged()["prices"]
    assert [(row.symbol, row.rank_value) for row in board.rows] == sorted(
        prices.items(), key=lambda each: each[1], reverse=True
    )
