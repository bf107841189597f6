"""LEAN's codes for exchanges and sale conditions in the provider's terms.

LEAN's sale condition is a set of flags (``TradeConditionFlags`` in its source); the provider sends a list of ids
(``/v3/reference/conditions``). Two flags together mean one id where the tape knows one code for both.
"""

import functools

__all__ = ["EXCHANGE_IDS", "condition_ids", "exchange_id"]

_EXTENDED_HOURS = 1 << 13
_OUT_OF_SEQUENCE = 1 << 14
_SOLD_LAST = 1 << 11
_UNDOCUMENTED = 1 << 30
_EXTENDED_HOURS_OUT_OF_SEQUENCE_ID = 13

_CONDITION_IDS: dict[int, int] = {
    1 << 0: 0,  # regular sale
    1 << 1: 7,  # cash sale
    1 << 2: 20,  # next day
    1 << 3: 29,  # seller
    1 << 4: 36,  # yellow flag
    1 << 5: 14,  # intermarket sweep
    1 << 6: 25,  # opening prints
    1 << 7: 8,  # closing prints
    1 << 8: 28,  # re-opening prints
    1 << 9: 10,  # derivatively priced
    1 << 10: 12,  # form T
    _SOLD_LAST: 30,
    1 << 12: 27,  # stopped stock
    _EXTENDED_HOURS: 12,  # the tape's T: the same code as form T
    _OUT_OF_SEQUENCE: 32,
    1 << 15: 34,  # split trade
    1 << 16: 1,  # acquisition
    1 << 17: 4,  # bunched
    1 << 18: 35,  # stock option
    1 << 19: 11,  # distribution
    1 << 20: 2,  # average price
    1 << 21: 9,  # cross
    1 << 22: 21,  # price variation
    1 << 23: 23,  # rule 155
    1 << 24: 15,  # market center official close
    1 << 25: 22,  # prior reference price
    1 << 26: 16,  # market center official open
    1 << 27: 6,  # CAP election
    1 << 28: 3,  # automatic execution
    1 << 29: 41,  # trade through exempt
    1 << 31: 37,  # odd lot
}

EXCHANGE_IDS: dict[str, int] = {
    "A": 1,
    "B": 2,
    "C": 3,
    "D": 4,
    "E": 5,
    "I": 6,
    "J": 7,
    "K": 8,
    "M": 9,
    "N": 10,
    "P": 11,
    "Q": 12,
    "T": 12,
    "S": 13,
    "L": 14,
    "V": 15,
    "W": 16,
    "X": 17,
    "Y": 18,
    "Z": 19,
}
"""The provider's exchange ids by the tape's letters; Nasdaq is Q on its own tape and T on the others."""


def exchange_id(letter: str) -> int:
    """Return the provider's id of an exchange, 0 where it has none."""
    return EXCHANGE_IDS.get(letter, 0)


@functools.cache
def condition_ids(flags_hex: str) -> tuple[int, ...]:
    """Return the provider's condition ids for LEAN's flags, ascending. A flag that nobody documents is left out.

    Raises ValueError for what is no hexadecimal number or holds a flag beyond LEAN's.
    """
    flags = int(flags_hex, 16)
    if flags >> 32:
        raise ValueError(f"sale condition {flags_hex} has flags that LEAN does not know")
    ids = set()
    if flags & _OUT_OF_SEQUENCE:
        flags &= ~_SOLD_LAST  # the tape's Z, sold out of sequence, carries both flags
        if flags & _EXTENDED_HOURS:
            flags &= ~(_OUT_OF_SEQUENCE | _EXTENDED_HOURS)
            ids.add(_EXTENDED_HOURS_OUT_OF_SEQUENCE_ID)
    ids.update(_CONDITION_IDS[1 << bit] for bit in range(32) if flags >> bit & 1 and 1 << bit != _UNDOCUMENTED)
    return tuple(sorted(ids))
