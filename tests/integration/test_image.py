"""The image is made from lock files alone: made anew from nothing, it is the same byte for byte."""

import os
import shutil

import pytest

from support.findings import say
from support.images import made_anew

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(30 * 60),
]  # the first run has to make the base and fetch the wheels

MOST_BYTES = 450_000_000
"""Unpacked, base and Python included."""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("buildah") is None, reason="images are built as root, by buildah")
def test_it_is_the_same_made_anew_as_from_cached_steps_and_a_small_one() -> None:
    first, size = made_anew(cached=True)
    second, _ = made_anew(cached=False)
    say(f"from cached steps {first[:19]}, from none {second[:19]}; {size / 1e6:.0f} MB unpacked")
    assert first == second != ""
    assert size < MOST_BYTES
