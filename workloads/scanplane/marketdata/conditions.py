"""Which trades count for what: the sale conditions of US stocks, one table.

A print on the consolidated tape is not always a price of this moment: an odd lot, an average price or a late report
must move neither last price nor high and low, and an official close repeats volume that was counted before. The
table follows the *consolidated* processing guidelines of the CTA and UTP plans as Massive publishes them for its own
condition ids (the glossary "Conditions and Indicators" and the ``update_rules`` of ``/v3/reference/conditions``).
Where both differ the ``update_rules`` hold; they are the newer (29 Seller updates volume only).

Three decisions that the guidelines leave to the reader
- A guideline "last: no, unless it is the first trade of the day" is read as "no".
- Extended hours (12 Form T): the guidelines let such a trade update volume only, because they describe the regular
  session's figures. Outside the regular session it is an ordinary trade here, else premarket would have no prices.
  Within the regular session it is a late report and updates volume only.
- An id that is not in the table changes nothing about a trade: new ids are mostly informative, and losing a price is
  worse than showing one.
"""

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["CONDITIONS", "Condition", "Eligibility", "eligibility_of"]


class Condition(Struct, frozen=True):
    """One condition id and what a trade that carries it may update."""

    condition_id: int
    name: str
    updates_last: bool
    updates_high_low: bool
    updates_volume: bool


class Eligibility(Struct, frozen=True):
    """What one trade may update, all its conditions taken together.

    The ``extended_`` pair holds for a trade outside the regular session. ``is_closing_print`` marks the closing
    auction, which belongs to the regular session although it prints moments after its end.
    """

    updates_last: bool
    updates_high_low: bool
    updates_volume: bool
    extended_updates_last: bool
    extended_updates_high_low: bool
    is_closing_print: bool


FORM_T = 12
CLOSING_PRINTS = 8
MARKET_CENTER_CLOSING_TRADE = 19

_ALL = (True, True, True)
_NOT_LAST = (False, True, True)
_VOLUME_ONLY = (False, False, True)
_NOTHING = (False, False, False)

_TABLE: tuple[tuple[int, str, tuple[bool, bool, bool]], ...] = (
    (0, "Regular Sale", _ALL),
    (1, "Acquisition", _ALL),
    (2, "Average Price Trade", _VOLUME_ONLY),
    (3, "Automatic Execution", _ALL),
    (4, "Bunched Trade", _ALL),
    (5, "Bunched Sold Trade", _NOT_LAST),
    (6, "CAP Election", _ALL),
    (7, "Cash Sale", _VOLUME_ONLY),
    (CLOSING_PRINTS, "Closing Prints", _ALL),
    (9, "Cross Trade", _ALL),
    (10, "Derivatively Priced", _NOT_LAST),
    (11, "Distribution", _ALL),
    (FORM_T, "Form T/Extended Hours", _VOLUME_ONLY),
    (13, "Extended Hours (Sold Out Of Sequence)", _VOLUME_ONLY),
    (14, "Intermarket Sweep", _ALL),
    (15, "Market Center Official Close", _NOTHING),
    (16, "Market Center Official Open", _NOTHING),
    (17, "Market Center Opening Trade", _ALL),
    (18, "Market Center Reopening Trade", _ALL),
    (MARKET_CENTER_CLOSING_TRADE, "Market Center Closing Trade", _ALL),
    (20, "Next Day", _VOLUME_ONLY),
    (21, "Price Variation Trade", _VOLUME_ONLY),
    (22, "Prior Reference Price", _NOT_LAST),
    (23, "Rule 155 Trade (AMEX)", _ALL),
    (24, "Rule 127 (NYSE Only)", _ALL),
    (25, "Opening Prints", _ALL),
    (27, "Stopped Stock (Regular Trade)", _ALL),
    (28, "Re-Opening Prints", _ALL),
    (29, "Seller", _VOLUME_ONLY),
    (30, "Sold Last", _ALL),
    (31, "Sold Last and Stopped Stock", _ALL),
    (32, "Sold (Out Of Sequence)", _NOT_LAST),
    (33, "Sold (Out of Sequence) and Stopped Stock", _NOT_LAST),
    (34, "Split Trade", _ALL),
    (35, "Stock Option", _ALL),
    (36, "Yellow Flag Regular Trade", _ALL),
    (37, "Odd Lot Trade", _VOLUME_ONLY),
    (38, "Corrected Consolidated Close", (True, True, False)),
    (41, "Trade Thru Exempt", _ALL),
    (44, "Cancelled", _NOTHING),
    (52, "Contingent Trade", _VOLUME_ONLY),
    (53, "Qualified Contingent Trade", _VOLUME_ONLY),
    (54, "Errored", _NOTHING),
)

CONDITIONS: dict[int, Condition] = {
    condition_id: Condition(condition_id, name, *updates) for condition_id, name, updates in _TABLE
}
"""Every known sale condition of US stocks by Massive's id."""


def eligibility_of(conditions: Iterable[int]) -> Eligibility:
    """Return what a trade with *conditions* may update: what every one of them allows."""
    regular = list(_ALL)
    extended = list(_ALL)
    is_closing_print = False
    for condition_id in conditions:
        condition = CONDITIONS.get(condition_id)
        if condition is None:
            continue
        updates = (condition.updates_last, condition.updates_high_low, condition.updates_volume)
        regular = [one and other for one, other in zip(regular, updates, strict=True)]
        if condition_id != FORM_T:
            extended = [one and other for one, other in zip(extended, updates, strict=True)]
        if condition_id in {CLOSING_PRINTS, MARKET_CENTER_CLOSING_TRADE}:
            is_closing_print = True
    return Eligibility(
        updates_last=regular[0],
        updates_high_low=regular[1],
        updates_volume=regular[2],
        extended_updates_last=extended[0],
        extended_updates_high_low=extended[1],
        is_closing_print=is_closing_print,
    )
