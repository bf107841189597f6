"""A role's live figures on their way to the cache, where the operator, the gateway and people read them.

Once a second the role is asked; what is equal to the last is not written again, but for a sign of life every few
seconds. Only the newest status matters, so nothing queues: a cache that is slow or away costs one skipped write
a second, counted. Whoever holds the baton writes under the instance's name, guarded by the baton's generation;
a standby writes beside it, so that both are seen while a role is replaced.
"""

import asyncio
import contextlib
import logging
import time

import msgspec

from scanplane.cache import keys
from scanplane.cache.interface import Cache, CacheUnavailableError, FencedError, Write
from scanplane.roles.interface import Role
from scanplane.telemetry.logs import TransitionLog, with_fields
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["StatusPublisher"]

_INTERVAL_SECONDS = 1.0
_SIGN_OF_LIFE_NS = 5_000_000_000
_WRITE_SECONDS = 2.0
_FORGOTTEN_AFTER_NS = 600_000_000_000
_ENDING = frozenset({Phase.DRAINING, Phase.STOPPED})


class StatusPublisher:
    """Publishes the status of one role to the cache.

    *replica* tells apart several processes of one instance that all work at once (gateways); it is part of the key.
    """

    def __init__(self, cache: Cache, namespace: str, role: Role, *, replica: str | None = None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._role = role
        self._replica = replica
        self._log = TransitionLog(with_fields(logging.getLogger("scanplane.roles"), instance=role.name))
        self._last: RoleStatus | None = None
        self._has_worked = False
        self._written_keys: set[str] = set()
        self.failed_total = 0
        self.written_total = 0

    async def run(self) -> None:
        """Publish once a second until cancelled; an unreachable cache is counted and tried again."""
        await self._forget_dead_replicas()
        while True:
            await self.publish()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def publish(self) -> bool:
        """Publish the status of this moment if it is news; return whether it was written."""
        status = self._role.status()
        if not self._is_news(status):
            return False
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._write(status)
        except (CacheUnavailableError, TimeoutError) as error:
            self.failed_total += 1
            reason = str(error) or f"no answer within {_WRITE_SECONDS:g} s"
            self._log.report("status", "unwritten", logging.WARNING, "live figures are not published: %s", reason)
            return False
        except FencedError:
            self._log.report("status", "fenced", logging.INFO, "live figures are left to the next holder of the baton")
            return False
        self._log.report("status", "written", logging.DEBUG, "live figures are published")
        self._last = status
        self.written_total += 1
        return True

    async def finish(self) -> None:
        """Publish the last status and remove what nobody will renew."""
        await self.publish()
        holder_key = keys.status(self._namespace, self._role.name)
        leftovers = sorted(self._written_keys - {holder_key})
        with contextlib.suppress(CacheUnavailableError, TimeoutError):
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._cache.delete(leftovers)

    def _is_news(self, status: RoleStatus) -> bool:
        """Return whether anything but the time differs from what was written last, or a sign of life is due."""
        last = self._last
        if last is None or status.updated_ns - last.updated_ns >= _SIGN_OF_LIFE_NS:
            return True
        return msgspec.structs.replace(status, updated_ns=0) != msgspec.structs.replace(last, updated_ns=0)

    def _name(self, status: RoleStatus) -> str:
        """Return the name to write under: the instance's own for whoever works or worked, another for a standby."""
        if self._replica is not None:
            return f"{self._role.name}.{self._replica}"
        if status.phase is Phase.ACTIVE:
            self._has_worked = True
        works = status.phase is Phase.ACTIVE or (self._has_worked and status.phase in _ENDING)
        return self._role.name if works else f"{self._role.name}.standby"

    def _guard(self, name: str, status: RoleStatus) -> int:
        """Return the generation to write with; of roles without a baton, the process that started last wins."""
        if name != self._role.name:
            return 0
        return status.generation or status.started_ns // 1_000_000

    async def _write(self, status: RoleStatus) -> None:
        name = self._name(status)
        key = keys.status(self._namespace, name)
        fence = keys.status_fence(self._namespace, name)
        value = msgspec.json.encode(status)
        await self._cache.write(Write(fence_key=fence, generation=self._guard(name, status), values={key: value}))
        stale = self._written_keys - {key, keys.status(self._namespace, self._role.name)}
        if stale:
            await self._cache.delete(sorted(stale))
        self._written_keys = {key}

    async def _forget_dead_replicas(self) -> None:
        """Remove figures of earlier replicas that ended without a word, so that their keys don't pile up."""
        if self._replica is None:
            return
        with contextlib.suppress(CacheUnavailableError, TimeoutError, msgspec.DecodeError):
            async with asyncio.timeout(_WRITE_SECONDS):
                found = await self._cache.list_keys(keys.status(self._namespace, f"{self._role.name}."))
                values = await self._cache.read_values(found)
                limit_ns = time.time_ns() - _FORGOTTEN_AFTER_NS
                await self._cache.delete(
                    [
                        key
                        for key, value in zip(found, values, strict=True)
                        if value is not None and msgspec.json.decode(value, type=RoleStatus).updated_ns < limit_ns
                    ]
                )
