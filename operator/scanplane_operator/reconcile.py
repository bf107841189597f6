"""One pass over a namespace: look, decide, write, say."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.plan.configuration import GatewayConfiguration
from scanplane.plan.inventory import ResourceKey
from scanplane.resources.common import API_VERSION
from scanplane.resources.status import ConditionStatus, ConditionType
from scanplane.telemetry.logs import FieldsAdapter, with_fields
from scanplane_operator.api import Api, ApiError, ApiUnavailableError, all_of
from scanplane_operator.decisions import Decisions, decisions_of
from scanplane_operator.events import events_of
from scanplane_operator.manifests.workloads import Manifest, key_of
from scanplane_operator.names import APPLIED, FIELD_MANAGER, MANAGED_BY, RESTART_REASON, STATUS_MANAGER, object_name
from scanplane_operator.observed import Child, ObjectKey, Observed, PodPlace
from scanplane_operator.observing import Observer, child_path, resource_path
from scanplane_operator.reading import is_paused, referenced_config_maps, referenced_secrets
from scanplane_operator.reports import Reporter, places_of
from scanplane_operator.rollouts import Decision, Rollout, revision_of
from scanplane_operator.settings import PodSettings
from scanplane_operator.status import StatusChange, status_changes

__all__ = ["PassResult", "Reconciler"]

_LOG = logging.getLogger("scanplane.operator")
_MAX_REMEMBERED = 20_000
_STATUSES_AT_ONCE = 4
"""An edit of a DataPlane is a hundred statuses; another namespace's requests go between them."""


class PassResult(Struct, frozen=True, kw_only=True):
    """What a pass saw and did, as far as anybody asks for it until the next one: objects are not kept.

    ``resources`` counts by kind and state (ready, not_ready, paused). ``gateway`` is the URL of the gateway's Service, empty
    where there is none. ``secrets`` and ``config_maps`` are the digests that were planned with, ``refers_to_secrets`` and
    ``refers_to_config_maps`` the names that resources mention, there or not.
    """

    resources: Mapping[tuple[str, str], int]
    children: int
    workloads: int
    gateway: str
    refers_to_secrets: frozenset[str]
    refers_to_config_maps: frozenset[str]
    secrets: Mapping[str, Mapping[str, str]]
    config_maps: Mapping[str, Mapping[str, str]]
    pods: tuple[PodPlace, ...]
    refused: int
    restarts: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of ours in the namespace."""
        return not self.resources and not self.children


class Reconciler:
    """Makes namespaces as their resources say. Remembers when figures were written and what was refused last."""

    def __init__(self, api: Api, observer: Observer, reporter: Reporter, settings: PodSettings, instance: str) -> None:
        self._api = api
        self._observer = observer
        self._reporter = reporter
        self._settings = settings
        self._instance = instance
        self._figures_written_ns: dict[str, dict[ResourceKey, int]] = {}
        self._refused: dict[str, Mapping[ObjectKey, str]] = {}

    async def reconcile(self, namespace: str) -> PassResult:
        """Make one pass. Raises ApiError or ApiUnavailableError; whatever was done by then is right, and goes on next time."""
        log = with_fields(_LOG, namespace=namespace)
        observed = await self._observer.look(namespace, self._reporter.reports(namespace))
        decisions = decisions_of(observed, self._settings)
        ours, foreign = await self._named_alike(decisions, observed)
        if ours or foreign:
            observed = msgspec.structs.replace(observed, children={**observed.children, **ours}, foreign=foreign)
            decisions = decisions_of(observed, self._settings)
        refused = await self._write(decisions, observed, log)
        observed = msgspec.structs.replace(observed, refused=refused)
        unsaid = await self._say(decisions, observed, log)
        self._tell_refused(namespace, {**refused, **unsaid}, log)
        restarts = tuple(
            reason
            for rollout in decisions.rollouts
            if rollout.decision is Decision.ROLL and rollout.restart is not None and rollout.workload.key not in refused
            for reason in rollout.restart.reasons
        )
        documents = observed.resources.values()
        return PassResult(
            resources=Counter((str(key.kind), _state(document)) for key, document in observed.resources.items()),
            children=len(observed.children),
            workloads=len(decisions.rollouts),
            gateway=_gateway_url(namespace, decisions.rollouts),
            refers_to_secrets=referenced_secrets(documents),
            refers_to_config_maps=referenced_config_maps(documents),
            secrets=observed.secrets,
            config_maps=observed.config_maps,
            pods=places_of(observed.pods),
            refused=len(refused) + len(unsaid),
            restarts=restarts,
        )

    def forget(self, namespace: str) -> None:
        """Drop what is remembered of a namespace."""
        self._figures_written_ns.pop(namespace, None)
        self._refused.pop(namespace, None)

    async def _named_alike(
        self, decisions: Decisions, observed: Observed
    ) -> tuple[dict[ObjectKey, Child], frozenset[ObjectKey]]:
        """Look at what bears names which we are about to use for the first time.

        Return what is ours though its label was changed, and the names of what is somebody else's.
        """
        new = {key: each for each in decisions.changes.apply if (key := key_of(each)) not in observed.children}
        paths = ((child_path(observed.namespace, key.kind), key.name) for key in new)
        found = await all_of([self._api.list(path, name=name) for path, name in paths])
        ours: dict[ObjectKey, Child] = {}
        foreign: set[ObjectKey] = set()
        for (key, manifest), objects in zip(new.items(), found, strict=True):
            for live in objects:
                if _owners(live) & _owners(manifest):
                    ours[key] = {"apiVersion": manifest["apiVersion"], "kind": key.kind, **live}
                elif not _is_ours(live):  # one with our label was made in the very moment, by another operator
                    foreign.add(key)
        return ours, frozenset(foreign)

    async def _write(self, decisions: Decisions, observed: Observed, log: FieldsAdapter) -> dict[ObjectKey, str]:
        """Write everything that can be written; return what was refused, with the reason."""
        refused: dict[ObjectKey, str] = {}
        for manifest in decisions.changes.apply:
            key = key_of(manifest)
            try:
                await self._api.apply(child_path(observed.namespace, key.kind, key.name), manifest, FIELD_MANAGER)
            except ApiError as error:
                refused[key] = f"{key}: {error}"
            else:
                _tell_applied(manifest, observed.children.get(key), log)
        for removal in decisions.changes.remove:
            key = removal.key
            try:
                await self._api.delete(child_path(observed.namespace, key.kind, key.name), key.kind, removal.uid)
            except ApiError as error:
                refused[key] = f"{key}: {error}"
            else:
                log.info("removed %s: nothing asks for it any more", key, extra={"object": str(key)})
        return refused

    def _tell_refused(self, namespace: str, refused: Mapping[ObjectKey, str], log: FieldsAdapter) -> None:
        """Say what was refused, once: one object's trouble must not keep the others from being written, nor fill the log."""
        before = self._refused.get(namespace, {})
        for key, problem in refused.items():
            if before.get(key) != problem:
                log.error("the API server refuses to write %s; trying again", problem, extra={"object": str(key)})
        if refused:
            self._refused[namespace] = refused
        elif self._refused.pop(namespace, None):
            log.info("the API server refuses nothing any more")

    async def _say(self, decisions: Decisions, observed: Observed, log: FieldsAdapter) -> dict[ObjectKey, str]:
        """Write every status that can be written; return what was refused, with the reason."""
        now_ns = time.time_ns()
        written_ns = self._figures_written_ns.setdefault(observed.namespace, {})
        changes = status_changes(
            observed,
            decisions.reading,
            decisions.plan,
            decisions.rollouts,
            now=_now("seconds", now_ns),
            now_ns=now_ns,
            figures_written_ns=written_ns,
        )
        waiting = iter(changes)
        refusals = await all_of([self._say_each(waiting, written_ns, now_ns, log) for _ in range(_STATUSES_AT_ONCE)])
        while len(written_ns) > _MAX_REMEMBERED:
            written_ns.pop(next(iter(written_ns)))
        return {key: problem for refused in refusals for key, problem in refused.items()}

    async def _say_each(
        self, waiting: Iterator[StatusChange], written_ns: dict[ResourceKey, int], now_ns: int, log: FieldsAdapter
    ) -> dict[ObjectKey, str]:
        """Write one status after the other for as long as there are some, beside others who take from the same."""
        refused: dict[ObjectKey, str] = {}
        for change in waiting:
            try:
                await self._write_status(change)
            except ApiError as error:
                refused[ObjectKey(f"{change.key.kind}/status", change.key.name)] = f"{change.key} status: {error}"
                continue
            written_ns[change.key] = now_ns
            _tell_status(change, log)
            await self._post_events(change, log)
        return refused

    async def _write_status(self, change: StatusChange) -> None:
        metadata = change.document["metadata"]
        manifest = {
            "apiVersion": API_VERSION,
            "kind": str(change.key.kind),
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": change.status,
        }
        path = resource_path(metadata["namespace"], change.key.kind, metadata["name"])
        try:
            await self._api.apply(f"{path}/status", manifest, STATUS_MANAGER)
        except ApiError as error:
            if error.status not in {404, 409}:  # it was deleted, and perhaps made anew, since we looked
                raise

    async def _post_events(self, change: StatusChange, log: FieldsAdapter) -> None:
        """Post the events of a change. A lost event is told in the log and changes nothing."""
        namespace = change.document["metadata"]["namespace"]
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        for event in events_of(change, _now("microseconds", time.time_ns()), self._instance):
            try:
                await self._api.create(path, event)
            except (ApiError, ApiUnavailableError) as error:
                log.warning("an event about %s could not be posted: %s", change.key, error)


def _is_ours(live: Child) -> bool:
    return (live["metadata"].get("labels") or {}).get(MANAGED_BY) == FIELD_MANAGER


def _owners(document: Child) -> set[str]:
    return {str(each.get("uid")) for each in document["metadata"].get("ownerReferences") or ()}


def _gateway_url(namespace: str, rollouts: Iterable[Rollout]) -> str:
    """Return where the gateway is reached in the cluster; empty where there is none, or no pod of it is asked for."""
    configurations = (each.workload.configuration for each in rollouts if each.workload.deployment["spec"]["replicas"])
    gateways = (each for each in configurations if isinstance(each, GatewayConfiguration))
    return next((f"http://{object_name(each)}.{namespace}:{each.port}" for each in gateways), "")


def _state(document: Mapping[str, Any]) -> str:
    """Return the state of a resource for metrics."""
    if is_paused(document):
        return "paused"
    conditions = (document.get("status") or {}).get("conditions") or ()
    ready = (str(ConditionType.READY), str(ConditionStatus.TRUE))
    return "ready" if any((each.get("type"), each.get("status")) == ready for each in conditions) else "not_ready"


def _now(precision: str, now_ns: int) -> str:
    instant = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    if precision == "seconds":
        return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{now_ns % 1_000_000_000 // 1000:06d}Z"


def _tell_applied(manifest: Manifest, before: Child | None, log: FieldsAdapter) -> None:
    key = key_of(manifest)
    extra = {"object": str(key)}
    if key.kind != "Deployment":
        log.debug("applied %s", key, extra=extra)
        return
    reason = manifest["spec"]["template"]["metadata"]["annotations"][RESTART_REASON]
    if before is None:
        log.info("created %s", key, extra=extra)
        return
    if revision_of(before) != revision_of(manifest):
        log.info("restarting %s: %s", key.name.removeprefix("scanplane-"), reason, extra={**extra, "reason": reason})
    elif _digest_of(before) != _digest_of(manifest):
        log.info("updated %s: it needs no restart", key, extra=extra)
    else:
        log.info("mended %s: somebody had changed it", key, extra=extra)


def _digest_of(deployment: Child) -> str | None:
    """Return the digest of what was wanted of a Deployment when it was written."""
    digest: str | None = (deployment["metadata"].get("annotations") or {}).get(APPLIED)
    return digest


def _tell_status(change: StatusChange, log: FieldsAdapter) -> None:
    for condition in change.transitions:
        extra = {"resource": str(change.key), "condition": str(condition.type), "reason": condition.reason}
        if condition.type is ConditionType.ACCEPTED and condition.status is ConditionStatus.FALSE:
            log.error("%s is not accepted: %s", change.key, condition.message, extra=extra)
        elif condition.type is ConditionType.READY:
            state = "ready" if condition.status is ConditionStatus.TRUE else "not ready"
            log.info("%s is %s: %s", change.key, state, condition.message, extra=extra)
        elif condition.type is ConditionType.PAUSED and condition.status is ConditionStatus.TRUE:
            log.info("%s is paused", change.key, extra=extra)
        elif condition.type is ConditionType.PROGRESSING and condition.reason in {"DeadlineExceeded", "RolledBack"}:
            log.warning("%s: %s", change.key, condition.message, extra=extra)
