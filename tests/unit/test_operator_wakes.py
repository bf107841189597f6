"""A loop waits for quiet before a pass, and an edit does not wait for what the edit before it set going."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scanplane_operator.wakes import Wake

QUIET_S, LONGEST_S, FOR_EVER_S = 0.05, 0.3, 3600.0
BURST = 20


@asynccontextmanager
async def ringing(wake: Wake, *, is_edit: bool = False, times: int | None = None) -> AsyncIterator[list[int]]:
    """Ring more often than a moment of quiet takes, *times* or for as long as the block lasts; give how often it rang."""
    rung = [0]

    async def ring() -> None:
        while times is None or rung[0] < times:
            wake.ring(is_edit=is_edit)
            rung[0] += 1
            await asyncio.sleep(QUIET_S / 10)

    task = asyncio.create_task(ring())
    try:
        yield rung
    finally:
        task.cancel()


@pytest.mark.parametrize("is_edit", [False, True], ids=["pods", "edits"])
async def test_a_burst_is_waited_for_to_its_end(*, is_edit: bool) -> None:
    wake = Wake()
    wake.ring(is_edit=is_edit)
    async with ringing(wake, is_edit=is_edit, times=BURST) as rung, asyncio.timeout(30):
        await wake.settle(QUIET_S, FOR_EVER_S)
        assert rung == [BURST]


@pytest.mark.parametrize("is_edit", [False, True], ids=["pods", "edits"])
async def test_what_does_not_end_is_waited_for_within_bounds(*, is_edit: bool) -> None:
    wake = Wake()
    wake.ring(is_edit=is_edit)
    async with ringing(wake, is_edit=is_edit) as rung, asyncio.timeout(30):
        await wake.settle(QUIET_S, LONGEST_S)
        assert rung[0] > 1


async def test_an_edit_does_not_wait_for_pods() -> None:
    wake = Wake()
    wake.ring(is_edit=True)
    async with ringing(wake), asyncio.timeout(30):
        await wake.settle(QUIET_S, FOR_EVER_S)


async def test_an_edit_from_during_a_pass_has_waited_long_enough() -> None:
    wake = Wake()
    wake.ring(is_edit=True)
    async with ringing(wake) as rung, asyncio.timeout(30):
        await asyncio.sleep(2 * QUIET_S)  # the pass
        before = rung[0]
        await wake.settle(QUIET_S, FOR_EVER_S)
        assert rung[0] == before


async def test_a_pass_answers_what_came_before_it_and_no_more() -> None:
    wake = Wake()
    wake.ring(is_edit=True)
    wake.answer()
    assert not wake.is_rung
    wake.ring()
    assert wake.is_rung
    async with ringing(wake, times=BURST) as rung, asyncio.timeout(30):
        await wake.settle(QUIET_S, FOR_EVER_S)
        assert rung == [BURST], "the edit was answered: pods alone are waited for to their end"


async def test_a_rest_ends_when_it_rings_or_when_it_is_over() -> None:
    wake = Wake()
    await wake.within(0.01)
    assert not wake.is_rung
    async with ringing(wake, times=1), asyncio.timeout(30):
        await wake.within(FOR_EVER_S)
    assert wake.is_rung
