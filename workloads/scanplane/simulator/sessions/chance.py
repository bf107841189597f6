"""Chance without a state: the same (symbol, occasion) always draws the same number, alone or in a whole column.

A counter-based generator (SplitMix64's finalizer over key + counter), so a symbol's path does not depend on which other
symbols are played, nor on how time is cut into chunks.
"""

import hashlib

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Integers", "Keys", "keys_of", "normal", "uniform"]

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = 0xD1B54A32D192ED03
_WORD = (1 << 64) - 1
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11))
_UNIT = 2.0**-53


def keys_of(names: tuple[str, ...], seed: int) -> Keys:
    """Return a key for each name."""
    salt = seed.to_bytes(8, "big", signed=True)
    return np.array(
        [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, salt=salt).digest()) for name in names],
        dtype=np.uint64,
    )


def uniform(keys: Keys, occasion: Integers | int, stream: int) -> Floats:
    """Return a number in [0, 1) for each key at an occasion (broadcast); *stream* tells uses apart."""
    state = keys + np.asarray(occasion).astype(np.uint64) * _GOLDEN
    state += np.uint64(stream * _STREAM & _WORD)
    state ^= state >> _SHIFTS[0]
    state *= _FIRST
    state ^= state >> _SHIFTS[1]
    state *= _SECOND
    state ^= state >> _SHIFTS[2]
    numbers: Floats = (state >> _SHIFTS[3]).astype(np.float64) * _UNIT
    return numbers


def normal(keys: Keys, occasion: Integers | int, stream: int) -> Floats:
    """Return a standard normal number for each key at an occasion (Box-Muller); takes *stream* and the next."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(keys, occasion, stream)))
    numbers: Floats = radius * np.cos(2.0 * np.pi * uniform(keys, occasion, stream + 1))
    return numbers
