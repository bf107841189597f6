"""A stand-in for the kubelet: every pod of ours is running and ready as soon as it is there, unless a test says otherwise."""

import json
import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx

from support.apiserver import ApiServer

__all__ = ["Kubelet"]

_SELECTOR = "app.kubernetes.io/managed-by=scanplane-operator"
_INSTANCE = "app.kubernetes.io/instance"
_NOBODY = "127.9.9.9"
"""A pod's address where nothing listens."""


class Kubelet:
    """Watches the pods of all namespaces in a thread.

    ``broken`` are role instances, as ``namespace/instance``, whose new pods do not become ready; ``addresses`` are those of
    their pods.
    """

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kubelet", daemon=True)
        self.broken: set[str] = set()
        self.addresses: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        query = {
            "watch": "true",
            "labelSelector": _SELECTOR,
            "timeoutSeconds": "2",
        }  # nothing else ends a watch that is quiet
        while not self._stop.is_set():
            try:
                with self._server.client() as http, http.stream("GET", "/api/v1/pods", params=query) as response:
                    for line in response.iter_lines():
                        if self._stop.is_set():
                            return
                        event = json.loads(line)
                        if event["type"] in {"ADDED", "MODIFIED"}:
                            self._run(http, event["object"])
            except (httpx.HTTPError, ValueError):
                self._stop.wait(0.2)  # the server was taken away: nothing tells when it is back

    def _run(self, http: httpx.Client, pod: dict[str, Any]) -> None:
        metadata, status = pod["metadata"], pod.get("status") or {}
        place = f"{metadata['namespace']}/{metadata['labels'][_INSTANCE]}"
        if status.get("phase") == "Running" or metadata.get("deletionTimestamp") or place in self.broken:
            return
        address = self.addresses.get(place, _NOBODY)
        instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": instant}
            for kind in ("Ready", "ContainersReady", "Initialized", "PodScheduled")
        ]
        http.patch(
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status",
            json={
                "status": {
                    "phase": "Running",
                    "podIP": address,
                    "podIPs": [{"ip": address}],
                    "conditions": conditions,
                }
            },
            headers={"Content-Type": "application/merge-patch+json"},
        )
