"""A namespace of a very small Kubernetes, in which passes of the operator are made without a server.

It holds resources, Secrets and what the operator applied; it plays the API server (generations, defaults, who owns which field),
the Deployment controller (ReplicaSets, statuses, histories) and the garbage collector. A step at a time, so that a test can
look at what is half done.
"""

import copy
import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from scanplane.plan.inventory import ResourceKey
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import schema_of
from scanplane.resources.validation import check_value
from scanplane.telemetry.status import Phase, RoleStatus
from scanplane_operator.decisions import Decisions, decisions_of
from scanplane_operator.events import events_of
from scanplane_operator.manifests.workloads import key_of
from scanplane_operator.names import INSTANCE, RESTART_REASON
from scanplane_operator.observed import ObjectKey, Observed, PodReport
from scanplane_operator.rollouts import Decision
from scanplane_operator.settings import PodSettings
from scanplane_operator.status import StatusChange, status_changes
from support.operator_server_side_apply import apply_manifest, with_defaults

__all__ = ["SECRETS", "US_STOCKS", "Pass", "World", "settled_world"]

Object = dict[str, Any]

SECRETS = {"services": {"broker": "broker-1", "cache": "cache-1"}, "massive": {"apiKey": "key-1"}}

US_STOCKS = """
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: gappers}
spec:
  marketRef: {name: us-stocks}
  where: price >= 2.0
  board: {rankBy: change_percent}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec:
  marketRef: {name: us-stocks}
  board: {rankBy: volume}
"""
"""A namespace whose workloads are ``listener-massive``, ``analyzer-us-stocks-0`` and ``gateway``."""

_HISTORY = 3
_MOST_PASSES = 12
_TO_SKIP = ("deployment.kubernetes.io/revision",)


class Pass(Struct, frozen=True, kw_only=True):
    """What one pass decided and wrote."""

    decisions: Decisions
    statuses: list[StatusChange]
    events: list[Object]
    writes: list[str]

    @property
    def is_nothing(self) -> bool:
        return not self.writes and not self.statuses

    @property
    def by_instance(self) -> dict[str, Decision]:
        """Return what was decided of each workload."""
        return {rollout.workload.name: rollout.decision for rollout in self.decisions.rollouts}

    def told(self) -> list[tuple[str, str, str]]:
        """Return the events as ``(resource, reason, note)``."""
        return [
            (f"{each['regarding']['kind']}/{each['regarding']['name']}", each["reason"], each["note"])
            for each in self.events
        ]


class World:
    """The namespace ``scanners``. Every status that is written is held against the schema of its kind."""

    def __init__(
        self,
        text: str = US_STOCKS,
        *,
        secrets: Mapping[str, Mapping[str, str]] = SECRETS,
        config_maps: Mapping[str, Mapping[str, str]] | None = None,
        settings: PodSettings | None = None,
    ) -> None:
        self.resources: dict[ResourceKey, Object] = {}
        self.secrets = {name: dict(keys) for name, keys in secrets.items()}
        self.config_maps = {name: dict(keys) for name, keys in (config_maps or {}).items()}
        self.children: dict[ObjectKey, Object] = {}
        self.replica_sets: dict[str, Object] = {}
        self.others: set[ObjectKey] = set()
        self.refuses: dict[ObjectKey, str] = {}
        self.taken_back: set[ObjectKey] = set()
        self.extra_pods: list[Object] = []
        self.reports: dict[str, tuple[PodReport, ...]] = {}
        self.settings = settings or PodSettings(image="registry/scanplane:1")
        self.rolls: list[tuple[str, str]] = []
        """Every change of a Deployment's template by the operator: the role instance and the reason on it."""
        self.now_s = 1_800_000_000
        self._wanted: dict[ObjectKey, Object] = {}
        self._figures_written_ns: dict[ResourceKey, int] = {}
        self._uids = 0
        self.apply(text)

    # What people do

    def apply(self, text: str) -> None:
        """``kubectl apply``: documents that are there get the new spec."""
        for document in yaml.safe_load_all(text):
            key = ResourceKey(Kind(document["kind"]), document["metadata"]["name"])
            there = self.resources.get(key)
            if there is None:
                self.resources[key] = self._created(document)
            else:
                self._edit(there, document["spec"])

    def patch(self, name: str, **fields: Any) -> None:
        """``kubectl patch --type merge``: *name* is ``Feed/massive``, *fields* are those of its spec; None removes one."""
        document = self.resource(name)
        self._edit(document, _patched(document["spec"], fields))

    def annotate(self, name: str, annotation: str, value: str | None) -> None:
        annotations = self.resource(name)["metadata"].setdefault("annotations", {})
        annotations.pop(annotation, None)
        if value is not None:
            annotations[annotation] = value

    def pause(self, name: str) -> None:
        self.annotate(name, "scanplane.io/paused", "true")

    def resume(self, name: str) -> None:
        self.annotate(name, "scanplane.io/paused", None)

    def delete(self, name: str) -> None:
        """Delete a resource or a child; what belongs to it goes too."""
        kind, _, plain = name.partition("/")
        if kind in list(Kind):
            del self.resources[ResourceKey(Kind(kind), plain)]
        else:
            self._remove(ObjectKey(kind, plain))
        self.collect_garbage()

    def undo(self, instance: str) -> None:
        """``kubectl rollout undo``: the Deployment gets template and annotations of the ReplicaSet before."""
        live = self.deployment(instance)
        mine = sorted(self._replica_sets_of(live), key=_revision)
        current = self._current(live)
        before = [each for each in mine if each is not current][-1]
        live["spec"]["template"] = copy.deepcopy(before["spec"]["template"])
        live["metadata"]["annotations"] = {
            **copy.deepcopy(before["metadata"]["annotations"]),
            **{name: live["metadata"]["annotations"][name] for name in _TO_SKIP},
        }
        live["metadata"]["generation"] += 1
        self.taken_back.add(ObjectKey("Deployment", live["metadata"]["name"]))

    def restart(self, instance: str) -> None:
        """``kubectl rollout restart``."""
        live = self.deployment(instance)
        live["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = str(self.now_s)
        live["metadata"]["generation"] += 1

    # What Kubernetes does

    def start_rollouts(self) -> None:
        """The Deployment controller: a new template gets a ReplicaSet, whose pods are not ready yet."""
        for live in self._deployments():
            if self._current(live) is None:
                self._create_replica_set(live)
            self._tell(live)

    def finish_rollouts(self, stuck: Iterable[str] = ()) -> None:
        """Every new pod is ready, and those of before are gone; those of the instances in *stuck* never get ready."""
        self.start_rollouts()
        for live in self._deployments():
            current = self._current(live)
            assert current is not None
            wanted = live["spec"]["replicas"]
            is_stuck = _instance(live) in stuck
            current["status"] = {"replicas": wanted, "availableReplicas": 0 if is_stuck else wanted}
            if not is_stuck:
                for old in self._replica_sets_of(live):
                    if old is not current:
                        old["status"] = {"replicas": 0}
            self._forget_history(live)
            self._tell(live, is_stuck=is_stuck)

    def lose_pods(self, instance: str) -> None:
        """The pods of an instance are gone with their node; others are not ready yet."""
        live = self.deployment(instance)
        current = self._current(live)
        assert current is not None
        current["status"] = {"replicas": live["spec"]["replicas"], "availableReplicas": 0}
        self._tell(live)

    def collect_garbage(self) -> None:
        """What belongs to a resource or Deployment that is gone goes too."""
        uids = {document["metadata"]["uid"] for document in self.resources.values()}
        for key, child in list(self.children.items()):
            owners = child["metadata"].get("ownerReferences", [])
            if owners and all(owner["uid"] not in uids for owner in owners):
                self._remove(key)
        names = {key.name for key in self.children if key.kind == "Deployment"}
        for name, replica_set in list(self.replica_sets.items()):
            if replica_set["metadata"]["ownerReferences"][0]["name"] not in names:
                del self.replica_sets[name]

    def report(
        self,
        instance: str,
        figures: Mapping[str, float] | None = None,
        *,
        pod: str = "pod-1",
        phase: Phase = Phase.ACTIVE,
        generation: int = 1,
        scanners: Mapping[str, Mapping[str, float]] | None = None,
        problems: tuple[str, ...] = (),
    ) -> None:
        """Let a pod tell its figures now; as the operator's reporter, keep the last two of each pod."""
        status = RoleStatus(
            role=instance.partition("-")[0],
            instance=instance,
            configuration="",
            phase=phase,
            version="1",
            started_ns=0,
            updated_ns=0,
            generation=generation,
            figures=dict(figures or {}),
            scanners={name: dict(values) for name, values in (scanners or {}).items()},
            problems=problems,
        )
        known = self.reports.get(instance, ())
        mine = [each for each in known if each.pod_uid == pod][:1]
        others = [each for each in known if each.pod_uid != pod]
        self.reports[instance] = (PodReport(pod, status, self.now_s * 10**9), *mine, *others)

    # What the operator does

    def observe(self) -> Observed:
        pods = [
            {
                "metadata": {
                    "name": f"{name}-{number}",
                    "uid": f"{name}-{number}",
                    "labels": replica_set["metadata"]["labels"],
                },
                "status": {"phase": "Running", "podIP": "127.0.0.1"},
            }
            for name, replica_set in self.replica_sets.items()
            for number in range(replica_set["status"].get("replicas", 0))
        ]
        return copy.deepcopy(
            Observed(
                namespace="scanners",
                resources=self.resources,
                secrets=self.secrets,
                config_maps=self.config_maps,
                children=self.children,
                taken_back=frozenset(self.taken_back),
                replica_sets=tuple(self.replica_sets.values()),
                pods=(*pods, *self.extra_pods),
                reports=self.reports,
            )
        )

    def make_pass(self) -> Pass:
        """Look, decide, write, say: as :mod:`scanplane_operator.reconcile` does on a server."""
        observed, decisions, writes = self._decide_and_write()
        statuses, events = self._say(decisions, observed)
        return Pass(decisions=decisions, statuses=statuses, events=events, writes=writes)

    def write_and_die(self) -> None:
        """The operator is killed after it wrote the children of a pass and before it wrote a status."""
        self._decide_and_write()
        self.forget_operator()

    def _decide_and_write(self) -> tuple[Observed, Decisions, list[str]]:
        self.now_s += 1
        observed = self.observe()
        decisions = decisions_of(observed, self.settings)
        asked = {key_of(manifest) for manifest in decisions.changes.apply} - observed.children.keys()
        if asked & self.others:
            observed = msgspec.structs.replace(observed, foreign=frozenset(asked & self.others))
            decisions = decisions_of(observed, self.settings)
        refused = {}
        writes = []
        for manifest in decisions.changes.apply:
            key = key_of(manifest)
            if key in self.refuses:
                refused[key] = f"{key}: {self.refuses[key]}"
            else:
                self._apply(key, manifest)
                writes.append(f"apply {key}")
        for removal in decisions.changes.remove:
            assert self.children[removal.key]["metadata"]["uid"] == removal.uid
            self._remove(removal.key)
            writes.append(f"remove {removal.key}")
        self.collect_garbage()
        return msgspec.structs.replace(observed, refused=refused), decisions, writes

    def settle(self) -> list[Pass]:
        """Make passes, and let Kubernetes work, until there is nothing left to write. Fails where that does not end."""
        passes = []
        for number in range(_MOST_PASSES):
            passes.append(self.make_pass())
            if number and passes[-1].is_nothing:
                return passes
            self.finish_rollouts()
        raise AssertionError(f"the operator still writes {passes[-1].writes} after {_MOST_PASSES} passes")

    def forget_operator(self) -> None:
        """The operator was restarted: it has no reports, and knows nothing but what is written."""
        self.reports = {}
        self._figures_written_ns = {}

    # What tests look at

    def resource(self, name: str) -> Object:
        kind, _, plain = name.partition("/")
        return self.resources[ResourceKey(Kind(kind), plain)]

    def status(self, name: str) -> Object:
        return self.resource(name).get("status", {})

    def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        """Return status, reason and message of one condition."""
        found = next(each for each in self.status(name)["conditions"] if each["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def ready(self, name: str) -> tuple[str, str]:
        return self.condition(name, "Ready")[:2]

    def deployment(self, instance: str) -> Object:
        return self.children[ObjectKey("Deployment", f"scanplane-{instance}")]

    def instances(self) -> list[str]:
        return sorted(map(_instance, self._deployments()))

    def names(self, kind: str) -> list[str]:
        return sorted(key.name for key in self.children if key.kind == kind)

    def template_annotation(self, instance: str, name: str = RESTART_REASON) -> str:
        return self.deployment(instance)["spec"]["template"]["metadata"]["annotations"][name]

    def take_rolls(self) -> list[tuple[str, str]]:
        """Return what was rolled since the last time, and forget it."""
        rolls, self.rolls = self.rolls, []
        return rolls

    def rolled(self) -> list[str]:
        """Return the names of the instances that rolled since the last time, and forget it."""
        return sorted(name for name, _ in self.take_rolls())

    # Inside

    def _created(self, document: Object) -> Object:
        metadata = {"namespace": "scanners", "uid": self._uid(), "resourceVersion": "1", "generation": 1}
        return {**copy.deepcopy(document), "metadata": {**document["metadata"], **metadata}}

    def _edit(self, document: Object, spec: Any) -> None:
        if document["spec"] != spec:
            document["spec"] = spec
            document["metadata"]["generation"] += 1

    def _uid(self) -> str:
        self._uids += 1
        return f"uid-{self._uids}"

    def _apply(self, key: ObjectKey, manifest: Object) -> None:
        live = self.children.get(key)
        applied = with_defaults(apply_manifest(live, self._wanted.get(key), manifest))
        metadata = applied["metadata"]
        if live is None:
            metadata |= {"uid": self._uid(), "generation": 1}
        else:
            if live.get("immutable"):
                assert live["data"] == applied["data"], f"{key} is immutable"
            if live.get("spec") != applied.get("spec"):
                metadata["generation"] += 1
        if key.kind == "Deployment" and live is not None:
            assert live["spec"]["selector"] == applied["spec"]["selector"], f"the selector of {key} is immutable"
            if live["spec"]["template"] != applied["spec"]["template"]:
                reason = applied["spec"]["template"]["metadata"]["annotations"][RESTART_REASON]
                self.rolls.append((_instance(live), reason))
        self.children[key] = applied
        self.taken_back.discard(key)
        self._wanted[key] = copy.deepcopy(manifest)

    def _remove(self, key: ObjectKey) -> None:
        del self.children[key]
        self._wanted.pop(key, None)
        self.taken_back.discard(key)

    def _say(self, decisions: Decisions, observed: Observed) -> tuple[list[StatusChange], list[Object]]:
        now_ns = self.now_s * 10**9
        statuses = status_changes(
            observed,
            decisions.reading,
            decisions.plan,
            decisions.rollouts,
            now=_time(self.now_s),
            now_ns=now_ns,
            figures_written_ns=self._figures_written_ns,
        )
        events = []
        for change in statuses:
            _check_status(change)
            self._figures_written_ns[change.key] = now_ns
            self.resources[change.key]["status"] = copy.deepcopy(dict(change.status))
            events += events_of(change, f"{_time(self.now_s)[:-1]}.000000Z", "operator-1")
        for event in events:
            assert len(event["note"].encode()) <= 1024, event
            assert len(event["reason"]) <= 128, event
            assert event["note"], event
        return statuses, events

    def _deployments(self) -> list[Object]:
        return [child for key, child in self.children.items() if key.kind == "Deployment"]

    def _replica_sets_of(self, live: Object) -> list[Object]:
        name = live["metadata"]["name"]
        return [each for each in self.replica_sets.values() if each["metadata"]["ownerReferences"][0]["name"] == name]

    def _current(self, live: Object) -> Object | None:
        return self.replica_sets.get(_replica_set_name(live))

    def _create_replica_set(self, live: Object) -> None:
        self.replica_sets[_replica_set_name(live)] = {
            "metadata": {
                "name": _replica_set_name(live),
                "labels": live["spec"]["template"]["metadata"]["labels"],
                "annotations": {},
                "ownerReferences": [{"kind": "Deployment", "name": live["metadata"]["name"], "controller": True}],
            },
            "spec": {"template": copy.deepcopy(live["spec"]["template"])},
            "status": {"replicas": live["spec"]["replicas"], "availableReplicas": 0},
        }

    def _tell(self, live: Object, *, is_stuck: bool = False) -> None:
        """Write the Deployment's status, and its annotations to the newest ReplicaSet, as the controller does."""
        mine = self._replica_sets_of(live)
        current = self._current(live)
        assert current is not None
        revisions = [_revision(each) for each in mine if each is not current]
        if _revision(current) <= max(revisions, default=0):
            live["metadata"]["annotations"][_TO_SKIP[0]] = str(max(revisions, default=0) + 1)
        current["metadata"]["annotations"] = copy.deepcopy(live["metadata"]["annotations"])
        replicas = sum(each["status"].get("replicas", 0) for each in mine)
        available = sum(each["status"].get("availableReplicas", 0) for each in mine)
        updated = current["status"].get("replicas", 0)
        # Once a ReplicaSet was whole its roll-out stays done, whatever becomes of its pods.
        current["wasAvailable"] = current.get("wasAvailable", False) or (updated == replicas == available > 0)
        reason = "ProgressDeadlineExceeded" if is_stuck else "ReplicaSetUpdated"
        if current["wasAvailable"] and updated == replicas:
            reason = "NewReplicaSetAvailable"
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": [{"type": "Progressing", "status": str(not is_stuck), "reason": reason}],
        }

    def _forget_history(self, live: Object) -> None:
        old = [each for each in self._replica_sets_of(live) if not each["status"].get("replicas")]
        for each in sorted(old, key=_revision)[: max(0, len(old) - _HISTORY)]:
            del self.replica_sets[each["metadata"]["name"]]


@functools.cache
def _settled_world() -> World:
    world = World(config_maps={"reference": {"s.csv": "digest-1"}})
    world.settle()
    return world


def settled_world() -> World:
    """Return a World in which all that :data:`US_STOCKS` asks for runs; reference data is there too."""
    return copy.deepcopy(_settled_world())


def _patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    there = value if isinstance(value, Mapping) else {}
    kept = {name: each for name, each in there.items() if name not in patch}
    return kept | {name: _patched(there.get(name), change) for name, change in patch.items() if change is not None}


def _instance(live: Object) -> str:
    return str(live["metadata"]["labels"][INSTANCE])


def _replica_set_name(live: Object) -> str:
    template = msgspec.json.encode(live["spec"]["template"], order="sorted")
    return f"{live['metadata']['name']}-{hashlib.sha256(template).hexdigest()[:10]}"


def _revision(replica_set: Object) -> int:
    return int(replica_set["metadata"]["annotations"].get(_TO_SKIP[0], "0"))


def _time(seconds: int) -> str:
    return f"2027-01-15T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


def _check_status(change: StatusChange) -> None:
    """Hold a status against its kind's schema, and its conditions against what all of them promise."""
    model = KINDS[change.key.kind].status
    assert check_value(schema_of(model), change.status) == [], change.status
    fields = {field.encode_name for field in msgspec.structs.fields(model)}
    assert change.status.keys() <= fields, f"{change.status.keys() - fields} would be pruned"
    generation = change.document["metadata"]["generation"]
    assert change.status["observedGeneration"] == generation
    for condition in change.status["conditions"]:
        assert condition["observedGeneration"] == generation
        assert condition["message"] == " ".join(condition["message"].split()) != "", condition
        assert len(condition["message"]) <= 1000, condition
