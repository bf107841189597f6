"""Market: what is traded when, what is known of it beforehand, and how its analyzers are cut."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from scanplane.marketdata.channels import AssetClass
from scanplane.resources.common import Duration, LocalReference, Metadata, duration_between, rule, wording
from scanplane.resources.pods import Resources

__all__ = ["Analyzer", "Market", "MarketSpec", "Reference", "ReferenceFile", "ReferenceSource", "Sessions"]

LocalTime = Annotated[
    str,
    Meta(
        description="A time of day as HH:MM, exchange local time. Quote it: some YAML readers take 20:00 for a number.",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        max_length=5,
        extra=wording("a time of day", 'write hours and minutes in quotes, such as "04:00"'),
    ),
]


class Sessions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Trading outside the calendar's regular session, exchange local time."""

    premarket: Annotated[LocalTime, Meta(description="When premarket trading begins.")] | None = None
    postmarket: Annotated[LocalTime, Meta(description="When postmarket trading ends.")] | None = None


class ReferenceSource(enum.StrEnum):
    """Where a reference figure comes from."""

    PROVIDER = "Provider"
    FILE = "File"
    NONE = "None"


class ReferenceFile(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Reference data in CSV files with a header line, as the analyzer sees them."""

    symbols: (
        Annotated[
            str,
            Meta(
                description="Path of a CSV file with the column symbol and any of previous_close (currency units), "
                "average_volume (shares a day) and free_float (shares).",
                min_length=1,
                max_length=1024,
            ),
        ]
        | None
    ) = None
    volume_curve: (
        Annotated[
            str,
            Meta(
                description="Path of a CSV file with the columns time (HH:MM, exchange local) and either fraction "
                "(of the day's volume traded by then, 0 to 1, for every symbol) or symbol and cumulative_volume (shares).",
                min_length=1,
                max_length=1024,
            ),
        ]
        | None
    ) = None
    config_map_ref: (
        Annotated[
            LocalReference,
            Meta(
                description="On a cluster: the ConfigMap whose keys are the files, by the names that symbols and volumeCurve "
                "give. A change of what it holds restarts the analyzers."
            ),
        ]
        | None
    ) = None


class Reference(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is known of the market's symbols before the session begins."""

    previous_close: (
        Annotated[
            ReferenceSource,
            Meta(description="Source of previous closes; Provider has those of stocks. None if left out."),
        ]
        | None
    ) = None
    average_volume: (
        Annotated[
            ReferenceSource,
            Meta(description="Source of average daily volumes; Provider has those of stocks. None if left out."),
        ]
        | None
    ) = None
    volume_curve: Annotated[ReferenceSource, Meta(description="Source of volume curves. None if left out.")] | None = (
        None
    )
    free_float: Annotated[ReferenceSource, Meta(description="Source of free floats. None if left out.")] | None = None
    file: Annotated[ReferenceFile, Meta(description="The files that source File reads.")] | None = None


class Analyzer(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How the market's analyzers are cut and sized."""

    partitions: (
        Annotated[int, Meta(description="How many analyzers share the market's symbols. 1 if left out.", ge=1, le=64)]
        | None
    ) = None
    standby: (
        Annotated[
            bool, Meta(description="Whether each partition has a standby that takes over at once. false if left out.")
        ]
        | None
    ) = None
    evaluation_interval: (
        Annotated[
            Duration,
            Meta(
                description="Event time between two evaluations of the scanners, 10ms to 1h. 250ms if left out.",
                extra={"rules": (duration_between("10ms", "1h"),)},
            ),
        ]
        | None
    ) = None
    max_symbols: (
        Annotated[
            int,
            Meta(
                description="How many symbols one partition may hold; further ones are counted and left out. "
                "50000 if left out.",
                ge=1,
                le=2_000_000,
            ),
        ]
        | None
    ) = None
    resources: Annotated[Resources, Meta(description="Processor and memory of each analyzer, on a cluster.")] | None = (
        None
    )


_SYMBOL_FIGURES = ("previousClose", "averageVolume", "freeFloat")


class MarketSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is traded when, what is known of it beforehand, and how it is analyzed."""

    asset_class: Annotated[AssetClass, Meta(description="What is traded.")]
    calendar: (
        Annotated[
            str,
            Meta(
                description="Trading calendar: an exchange's MIC as exchange_calendars names it (XNYS, XLON), or 24/7. "
                "XNYS for Stocks, Options and Indices, else 24/7, if left out.",
                min_length=1,
                max_length=32,
            ),
        ]
        | None
    ) = None
    sessions: (
        Annotated[
            Sessions,
            Meta(
                description="Extended hours. None if left out.",
                extra={
                    "rules": (
                        rule(
                            "!has(self.premarket) || !has(self.postmarket) || self.premarket < self.postmarket",
                            "premarket must begin before postmarket ends",
                            lambda sessions: (
                                "premarket" not in sessions
                                or "postmarket" not in sessions
                                or sessions["premarket"] < sessions["postmarket"]
                            ),
                            at="postmarket",
                        ),
                    )
                },
            ),
        ]
        | None
    ) = None
    reference: Annotated[Reference, Meta(description="Reference data and its sources.")] | None = None
    analyzer: Annotated[Analyzer, Meta(description="Partitions and sizing of the analyzers.")] | None = None


class Market(Struct, frozen=True, kw_only=True, rename="camel"):
    """A market. It becomes one analyzer for each partition."""

    metadata: Metadata
    spec: Annotated[
        MarketSpec,
        Meta(
            extra={
                "rules": (
                    rule(
                        "!has(self.reference) || [has(self.reference.previousClose) && self.reference.previousClose == 'File', "
                        "has(self.reference.averageVolume) && self.reference.averageVolume == 'File', "
                        "has(self.reference.freeFloat) && self.reference.freeFloat == 'File'].all(f, !f) "
                        "|| (has(self.reference.file) && has(self.reference.file.symbols))",
                        "source File needs spec.reference.file.symbols",
                        lambda spec: (
                            not any(spec.get("reference", {}).get(figure) == "File" for figure in _SYMBOL_FIGURES)
                            or "symbols" in spec["reference"].get("file", {})
                        ),
                        at="reference",
                    ),
                    rule(
                        "!has(self.reference) || !has(self.reference.volumeCurve) || self.reference.volumeCurve != 'File' "
                        "|| (has(self.reference.file) && has(self.reference.file.volumeCurve))",
                        "volumeCurve: File needs spec.reference.file.volumeCurve",
                        lambda spec: (
                            spec.get("reference", {}).get("volumeCurve") != "File"
                            or "volumeCurve" in spec["reference"].get("file", {})
                        ),
                        at="reference.volumeCurve",
                    ),
                )
            }
        ),
    ]
