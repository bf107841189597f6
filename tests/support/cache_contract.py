"""What every home of the cache must do, as tests: ``class TestX(CacheContract)`` with a fixture ``caches``.

``caches`` gives handles on one and the same home, as two processes would have them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from scanplane.cache.interface import Cache, CacheUnavailableError, Entry, FencedError, StateLostError, Update, Write

PATIENCE_S = 20.0


async def collect(updates: AsyncIterator[Update], count: int) -> list[Update]:
    """Take *count* updates or fail."""
    found: list[Update] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found.append(await anext(updates))
    return found


class CacheContract:
    """The shared cases."""

    @pytest.fixture
    def caches(self) -> Callable[[], Cache]:
        raise NotImplementedError

    @pytest.fixture
    def cache(self, caches: Callable[[], Cache]) -> Cache:
        return caches()

    async def test_values_are_replaced_and_read_together(self, cache: Cache, namespace: str) -> None:
        board, other = f"{namespace}:boards:a", f"{namespace}:boards:b"
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, values={board: b"1", other: b"\x00\xff"}))
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, values={board: b"2"}))
        assert await cache.read_values([other, f"{namespace}:none", board]) == [b"\x00\xff", None, b"2"]
        assert await cache.read_values([]) == []

    async def test_a_burst_of_reads_is_answered_whole(self, cache: Cache, namespace: str) -> None:
        board = f"{namespace}:boards:a"
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, values={board: b"1"}))
        assert await asyncio.gather(*(cache.read_values([board]) for _ in range(500))) == [[b"1"]] * 500

    async def test_table_rows_are_set_one_by_one(self, cache: Cache, namespace: str) -> None:
        key = f"{namespace}:quotes"
        rows = {f"SYM{number}": b"%d" % number for number in range(5000)}
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, table_rows={key: rows}))
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, table_rows={key: {"SYM1": b"new"}}))
        assert await cache.read_rows(key, ["SYM1", "none", "SYM4999"]) == [b"new", None, b"4999"]
        assert await cache.read_table(key) == rows | {"SYM1": b"new"}
        assert await cache.read_table(f"{namespace}:none") == {}
        assert await cache.read_rows(f"{namespace}:none", ["a"]) == [None]

    async def test_table_rows_are_removed_before_others_are_set(self, cache: Cache, namespace: str) -> None:
        key, other, fence = f"{namespace}:quotes", f"{namespace}:other", f"{namespace}:state"
        rows = {f"SYM{number}": b"%d" % number for number in range(5000)}
        await cache.write(Write(fence_key=fence, generation=1, table_rows={key: rows, other: {"SYM0": b"stays"}}))
        await cache.write(
            Write(
                fence_key=fence,
                generation=1,
                values={f"{namespace}:boards:a": b"1"},
                removed_rows={key: [*list(rows)[:4500], "none"], f"{namespace}:none": ["a"]},
                table_rows={key: {"SYM1": b"new"}},
                entries={f"{namespace}:signals": [Entry((1000, 0), b"a")]},
            )
        )
        left = {name: value for name, value in rows.items() if int(value) >= 4500}
        assert await cache.read_table(key) == left | {"SYM1": b"new"}
        assert await cache.read_table(other) == {"SYM0": b"stays"}
        assert await cache.read_values([f"{namespace}:boards:a"]) == [b"1"]
        assert await cache.read_stream(f"{namespace}:signals") == [Entry((1000, 0), b"a")]

    async def test_stream_entries_are_appended_once(self, cache: Cache, namespace: str) -> None:
        key, fence = f"{namespace}:signals", f"{namespace}:state"
        entries = [Entry((1000, 0), b"a"), Entry((1000, 1), b"b"), Entry((2000, 0), b"c")]
        assert await cache.write(Write(fence_key=fence, generation=1, entries={key: entries[:2]})) == 0
        assert await cache.write(Write(fence_key=fence, generation=1, entries={key: entries})) == 2
        assert await cache.read_stream(key) == entries
        assert await cache.read_stream(key, after=(1000, 0)) == entries[1:]
        assert await cache.read_stream(key, after=(1000, 0), limit=1) == entries[1:2]
        assert await cache.read_stream(key, after=(2000, 0)) == []
        assert await cache.read_stream(f"{namespace}:none") == []

    async def test_a_stream_is_bounded(self, cache: Cache, namespace: str) -> None:
        key = f"{namespace}:signals"
        entries = [Entry((number, 0), b"x") for number in range(1, 1001)]
        await cache.write(
            Write(fence_key=f"{namespace}:state", generation=1, entries={key: entries}, max_stream_length=100)
        )
        kept = await cache.read_stream(key)
        assert kept == entries[-len(kept) :]
        assert 100 <= len(kept) <= 300

    async def test_an_older_generation_writes_nothing(self, caches: Callable[[], Cache], namespace: str) -> None:
        old, new = caches(), caches()
        board, table, stream, state = (f"{namespace}:{name}" for name in ("board", "table", "stream", "state"))
        await old.load_state(state, 1_763_832_013_123)
        rows = {table: {"kept": b"old"}}
        await old.write(Write(fence_key=state, generation=1_763_832_013_123, values={board: b"old"}, table_rows=rows))
        await new.load_state(state, 1_763_832_013_124)
        with pytest.raises(FencedError):
            await old.write(
                Write(
                    fence_key=state,
                    generation=1_763_832_013_123,
                    values={board: b"late"},
                    table_rows={table: {"A": b"late"}},
                    removed_rows={table: ["kept"]},
                    entries={stream: [Entry((1, 0), b"late")]},
                )
            )
        with pytest.raises(FencedError):
            await old.save_state(state, 1_763_832_013_123, {"field": b"late"})
        with pytest.raises(FencedError):
            await old.load_state(state, 1_763_832_013_123)
        assert await new.read_values([board]) == [b"old"]
        assert await new.read_table(table) == {"kept": b"old"}
        assert await new.read_stream(stream) == []
        assert await new.load_state(state, 1_763_832_013_124) == {}

    async def test_a_newer_generation_takes_the_fence_by_writing(self, cache: Cache, namespace: str) -> None:
        state = f"{namespace}:state"
        await cache.write(Write(fence_key=state, generation=2, values={f"{namespace}:v": b"2"}))
        with pytest.raises(FencedError):
            await cache.write(Write(fence_key=state, generation=1, values={f"{namespace}:v": b"1"}))

    async def test_a_state_keeps_the_fields_that_are_not_named(self, cache: Cache, namespace: str) -> None:
        state = f"{namespace}:state"
        assert await cache.load_state(state, 1) == {}
        await cache.save_state(state, 1, {"columns": b"\x00" * 100, "positions": b"1", "gone": b"x"})
        await cache.save_state(state, 1, {"positions": b"2", "gone": None, "never": None})
        assert await cache.load_state(state, 2) == {"columns": b"\x00" * 100, "positions": b"2"}

    async def test_a_save_builds_on_the_marked_one_before_it(self, cache: Cache, namespace: str) -> None:
        state = f"{namespace}:state"
        await cache.save_state(state, 1, {"a": b"1", "b": b"1"}, mark="first")
        for _ in range(2):  # a client that did not hear the answer asks again
            await cache.save_state(state, 1, {"a": b"2"}, mark="second", previous_mark="first")
        assert await cache.load_state(state, 1) == {"a": b"2", "b": b"1"}

    async def test_a_save_on_a_state_that_was_lost_is_refused_and_changes_nothing(
        self, cache: Cache, namespace: str
    ) -> None:
        state = f"{namespace}:state"
        await cache.save_state(state, 1, {"a": b"1", "b": b"1"}, mark="first")
        await cache.delete([state])
        with pytest.raises(StateLostError):
            await cache.save_state(state, 1, {"a": b"2"}, mark="second", previous_mark="first")
        assert await cache.load_state(state, 1) == {}

    async def test_a_save_on_an_older_state_is_refused_and_changes_nothing(self, cache: Cache, namespace: str) -> None:
        state = f"{namespace}:state"
        await cache.save_state(state, 1, {"a": b"1", "b": b"1"}, mark="first")
        with pytest.raises(StateLostError):
            await cache.save_state(state, 1, {"a": b"3"}, mark="third", previous_mark="second")
        assert await cache.load_state(state, 1) == {"a": b"1", "b": b"1"}

    async def test_a_marked_save_without_a_previous_one_replaces_the_whole_state(
        self, cache: Cache, namespace: str
    ) -> None:
        state = f"{namespace}:state"
        await cache.save_state(state, 3, {"a": b"1", "b": b"1"}, mark="first")
        await cache.save_state(state, 3, {"a": b"2"}, mark="anew")
        assert await cache.load_state(state, 3) == {"a": b"2"}
        with pytest.raises(FencedError):
            await cache.save_state(state, 2, {"a": b"3"}, mark="late")

    async def test_a_state_of_many_fields_comes_back_whole(self, cache: Cache, namespace: str) -> None:
        state = f"{namespace}:state"
        fields: dict[str, bytes | None] = {f"field-{number}": bytes([number % 256]) * 500 for number in range(4500)}
        await cache.save_state(state, 1, fields)
        assert await cache.load_state(state, 1) == fields
        await cache.save_state(state, 1, dict.fromkeys(list(fields)[:4400]))
        assert len(await cache.load_state(state, 1)) == 100

    async def test_followers_get_values_and_entries_of_their_prefixes(
        self, caches: Callable[[], Cache], namespace: str
    ) -> None:
        writer, reader = caches(), caches()
        boards, signals = f"{namespace}:boards:us:", f"{namespace}:signals:"
        async with reader.follow([boards, signals]) as updates:
            await writer.write(
                Write(
                    fence_key=f"{namespace}:state",
                    generation=1,
                    values={f"{namespace}:boards:eu:x": b"no", f"{boards}x": b"board\n\x00 1"},
                    table_rows={f"{boards}table": {"A": b"no push"}},
                    entries={f"{signals}us": [Entry((5, 7), b"first 1"), Entry((5, 8), b"")]},
                )
            )
            await writer.write(
                Write(
                    fence_key=f"{namespace}:state",
                    generation=1,
                    values={f"{boards}y": b""},
                    entries={f"{signals}us": [Entry((5, 8), b"again"), Entry((6, 0), b"next")]},
                )
            )
            assert await collect(updates, 5) == [
                Update(f"{boards}x", b"board\n\x00 1"),
                Update(f"{signals}us", b"first 1", (5, 7)),
                Update(f"{signals}us", b"", (5, 8)),
                Update(f"{boards}y", b""),
                Update(f"{signals}us", b"next", (6, 0)),
            ]

    async def test_overlapping_prefixes_give_each_update_once(self, cache: Cache, namespace: str) -> None:
        prefixes = [f"{namespace}:boards:us:one", f"{namespace}:boards:", f"{namespace}:boards:us:"]
        async with cache.follow(prefixes) as updates:
            for number in range(3):
                key = f"{namespace}:boards:us:one"
                await cache.write(Write(fence_key=f"{namespace}:state", generation=1, values={key: b"%d" % number}))
            assert [update.value for update in await collect(updates, 3)] == [b"0", b"1", b"2"]

    async def test_pattern_characters_in_a_prefix_mean_themselves(self, cache: Cache, namespace: str) -> None:
        special = f"{namespace}:a*b?[c]\\d:"
        fence = f"{namespace}:state"
        async with cache.follow([special]) as updates:
            await cache.write(Write(fence_key=fence, generation=1, values={f"{namespace}:aXbYc\\d:1": b"no"}))
            await cache.write(Write(fence_key=fence, generation=1, values={f"{special}1": b"yes"}))
            assert await collect(updates, 1) == [Update(f"{special}1", b"yes")]
        assert await cache.list_keys(special) == [f"{special}1"]

    async def test_a_follower_that_falls_behind_is_told(self, cache: Cache, namespace: str) -> None:
        async with cache.follow([f"{namespace}:"], max_waiting=10) as updates:
            values = {f"{namespace}:v{number}": b"x" for number in range(50)}
            await cache.write(Write(fence_key=f"{namespace}:state", generation=1, values=values))

            async def read_slowly() -> None:
                while True:
                    await anext(updates)
                    await asyncio.sleep(0.05)  # a slow reader is what is tested

            with pytest.raises(CacheUnavailableError, match="10 updates"):
                await asyncio.wait_for(read_slowly(), PATIENCE_S)

    async def test_keys_are_listed_by_prefix(self, cache: Cache, namespace: str) -> None:
        await cache.write(
            Write(
                fence_key=f"{namespace}:state:us",
                generation=1,
                values={f"{namespace}:boards:b": b"1", f"{namespace}:boards:a": b"1", f"{namespace}:status:x": b"1"},
                table_rows={f"{namespace}:boards:table": {"row": b"1"}},
                entries={f"{namespace}:boards:stream": [Entry((1, 0), b"1")]},
            )
        )
        assert await cache.list_keys(f"{namespace}:boards:") == [
            f"{namespace}:boards:a",
            f"{namespace}:boards:b",
            f"{namespace}:boards:stream",
        ]
        assert len(await cache.list_keys(f"{namespace}:")) == 4

    async def test_deleted_content_is_gone(self, cache: Cache, namespace: str) -> None:
        value, table, stream, state = (f"{namespace}:{name}" for name in ("v", "t", "s", "state"))
        await cache.write(
            Write(
                fence_key=state,
                generation=1,
                values={value: b"1"},
                table_rows={table: {"row": b"1"}},
                entries={stream: [Entry((1, 0), b"1")]},
            )
        )
        await cache.save_state(state, 1, {"field": b"1"})
        await cache.delete([value, table, stream, state, f"{namespace}:none"])
        await cache.delete([])
        assert await cache.read_values([value]) == [None]
        assert await cache.read_table(table) == {}
        assert await cache.read_stream(stream) == []
        assert await cache.load_state(state, 1) == {}

    async def test_states_are_read_without_being_claimed(self, cache: Cache, namespace: str) -> None:
        one, other = f"{namespace}:state:one", f"{namespace}:state:other"
        await cache.save_state(one, 7, {"a": b"1", "b": b"2"}, mark="7:0")
        await cache.save_state(other, 3, {"b": b"3"})
        assert await cache.read_states([one, f"{namespace}:none", other], ["b", "a"]) == [
            [b"2", b"1"],
            [None, None],
            [b"3", None],
        ]
        assert await cache.read_states([], ["a"]) == []
        assert await cache.read_state(one) == {"a": b"1", "b": b"2"}
        assert await cache.read_state(f"{namespace}:none") == {}
        await cache.save_state(one, 7, {"a": b"4"}, mark="7:1", previous_mark="7:0")

    async def test_what_expires_is_gone_and_what_was_kept_is_not(self, cache: Cache, namespace: str) -> None:
        going, kept = f"{namespace}:signals:going", f"{namespace}:signals:kept"
        entries = {going: [Entry((1, 0), b"1")], kept: [Entry((1, 0), b"1")]}
        await cache.write(Write(fence_key=f"{namespace}:state", generation=1, entries=entries))
        await cache.expire([going, kept, f"{namespace}:signals:none"], 0.05)
        await cache.expire([kept], None)
        async with asyncio.timeout(PATIENCE_S):
            while await cache.read_stream(going):  # noqa: ASYNC110  # the cache's own clock is what is waited for
                await asyncio.sleep(0.01)
        assert await cache.list_keys(f"{namespace}:signals:") == [kept]
        assert len(await cache.read_stream(kept)) == 1
