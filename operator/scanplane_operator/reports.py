"""Asking the pods for their figures: ``/status`` of each, at the pod's own address, no credentials needed.

The last two answers of each pod are kept, since a rate takes two. A pod that does not answer is no error: whether it serves is
Kubernetes' question, asked by its probes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import aiohttp
import msgspec

from scanplane.telemetry.status import RoleStatus
from scanplane_operator.manifests.pods import STATUS_PORT
from scanplane_operator.names import INSTANCE
from scanplane_operator.observed import Child, PodPlace, PodReport

__all__ = ["Reporter", "places_of"]

_TIMEOUT_S = 2.0
_MAX_BYTES = 4 * 1024 * 1024
_MAX_CONCURRENT = 32


class Reporter:
    """The newest figures of every pod, by namespace."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turns = asyncio.Semaphore(_MAX_CONCURRENT)
        self._reports: dict[str, dict[str, tuple[PodReport, ...]]] = {}
        self._instances: dict[str, dict[str, str]] = {}

    def reports(self, namespace: str) -> Mapping[str, tuple[PodReport, ...]]:
        """Return what is known, by role instance; of each pod the last two reports, the newest first."""
        by_instance: dict[str, tuple[PodReport, ...]] = {}
        for uid, reports in self._reports.get(namespace, {}).items():
            instance = self._instances[namespace][uid]
            by_instance[instance] = (*by_instance.get(instance, ()), *reports)
        return by_instance

    async def ask(self, namespace: str, pods: Sequence[PodPlace]) -> None:
        """Ask every one of *pods*; others are forgotten."""
        known = self._reports.get(namespace, {})
        answers = await asyncio.gather(*(self._ask(pod) for pod in pods))
        found: dict[str, tuple[PodReport, ...]] = {}
        for pod, answer in zip(pods, answers, strict=True):
            if answer is not None:
                found[pod.uid] = (answer, *known.get(pod.uid, ())[:1])
        self._reports[namespace] = found
        self._instances[namespace] = {pod.uid: pod.instance for pod in pods}

    def forget(self, namespace: str) -> None:
        """Drop what is known of a namespace."""
        self._reports.pop(namespace, None)
        self._instances.pop(namespace, None)

    async def _ask(self, pod: PodPlace) -> PodReport | None:
        url = f"http://{pod.address}:{STATUS_PORT}/status"
        async with self._turns:
            try:
                # No redirects: a pod must not send the operator to addresses that the pod itself cannot reach.
                async with asyncio.timeout(_TIMEOUT_S), self._session.get(url, allow_redirects=False) as response:
                    if response.status != 200:
                        return None
                    content = b"".join([chunk async for chunk in _bounded(response.content)])
                status = msgspec.json.decode(content, type=RoleStatus)
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, RecursionError):
                return None  # RecursionError: what is nested without end
        return PodReport(pod.uid, status, time.time_ns())


async def _bounded(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield what comes, up to a bound: a pod that answers without end is no workload of ours."""
    left = _MAX_BYTES
    async for chunk in stream.iter_chunked(65_536):
        left -= len(chunk)
        if left < 0:
            return
        yield chunk


def places_of(pods: Iterable[Child]) -> tuple[PodPlace, ...]:
    """Return where the running ones of *pods* can be asked."""
    return tuple(
        PodPlace(pod["metadata"]["uid"], pod["metadata"]["labels"].get(INSTANCE, ""), address)
        for pod in pods
        if (address := _address(pod))
    )


def _address(pod: Child) -> str:
    status = pod.get("status") or {}
    ip = status.get("podIP") or ""
    if status.get("phase") != "Running" or pod["metadata"].get("deletionTimestamp"):
        return ""
    return f"[{ip}]" if ":" in ip else ip
