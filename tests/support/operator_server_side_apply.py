"""What an API server makes of a manifest that is applied: as much of it as the operator's objects need.

Maps merge by key and lists of named things by name; what the same manager wanted before and wants no more goes; what others
wrote stays; defaults and canonical amounts are the server's own.
"""

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["apply_manifest", "canonical_quantity", "with_defaults"]

Object = dict[str, Any]

_KEYS = {
    "containers": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "env": "name",
}
_ATOMIC = {"nodeSelector", "matchLabels", "selector"}
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def apply_manifest(live: Object | None, before: Object | None, manifest: Object) -> Object:
    """Return the object after *manifest* was applied by the manager that applied *before* the last time."""
    if live is None:
        return copy.deepcopy(manifest)
    kept = _without(live, before or {}, manifest, "")
    return copy.deepcopy(_merged(kept, manifest, ""))


def _identity(field: str, item: object) -> str | None:
    """Return the key under which an item of a list is merged; None where the list is replaced as a whole."""
    if not isinstance(item, Mapping):
        return None
    if field == "ports":
        name = "containerPort" if "containerPort" in item else "port" if "targetPort" in item else ""
        return str(item[name]) if name else None
    key = _KEYS.get(field)
    return None if key is None else str(item.get(key))


def _merged(there: Any, wanted: Any, field: str) -> Any:
    if isinstance(there, Mapping) and isinstance(wanted, Mapping) and field not in _ATOMIC:
        return {**there, **{name: _merged(there.get(name), value, name) for name, value in wanted.items()}}
    if isinstance(there, list) and isinstance(wanted, list) and wanted and _identity(field, wanted[0]) is not None:
        fresh = {_identity(field, item): item for item in wanted}
        known = {_identity(field, item): item for item in there}
        kept = [_merged(item, fresh[name], "") if name in fresh else item for name, item in known.items()]
        return kept + [item for name, item in fresh.items() if name not in known]
    return wanted


def _without(there: Any, before: Any, wanted: Any, field: str) -> Any:
    """Return what is there without what was wanted before and is wanted no more."""
    if isinstance(there, Mapping) and isinstance(before, Mapping) and isinstance(wanted, Mapping):
        return {
            name: _without(value, before[name], wanted[name], name) if name in before and name in wanted else value
            for name, value in there.items()
            if name not in before or name in wanted
        }
    if isinstance(there, list) and isinstance(before, list) and isinstance(wanted, list):
        old = {_identity(field, item): item for item in before}
        fresh = {_identity(field, item): item for item in wanted}
        return [
            _without(item, old.get(name, {}), fresh.get(name, {}), "")
            for item in there
            if (name := _identity(field, item)) is None or name not in old or name in fresh
        ]
    return there


def with_defaults(live: Object) -> Object:
    """Return the object as the server keeps it: with its defaults, and amounts in its own writing."""
    live = copy.deepcopy(live)
    spec = live.get("spec", {})
    if live["kind"] == "Service":
        spec.setdefault("clusterIP", "10.0.0.1")
        spec.setdefault("sessionAffinity", "None")
    if live["kind"] == "Deployment":
        pod = spec["template"]["spec"]
        pod.setdefault("restartPolicy", "Always")
        pod.setdefault("dnsPolicy", "ClusterFirst")
        for volume in pod["volumes"]:
            for source in ("configMap", "secret"):
                if source in volume:
                    volume[source].setdefault("defaultMode", 420)
            if "sizeLimit" in volume.get("emptyDir", {}):
                volume["emptyDir"]["sizeLimit"] = canonical_quantity(volume["emptyDir"]["sizeLimit"])
        for container in pod["containers"]:
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            for name, probe in container.items():
                if name.endswith("Probe"):
                    probe.setdefault("successThreshold", 1)
            for amounts in container.get("resources", {}).values():
                amounts.update({name: canonical_quantity(amount) for name, amount in amounts.items()})
    return live


def canonical_quantity(text: str) -> str:
    """Return an amount as the API server writes it: no fraction, the greatest unit of its family that fits."""
    number = text.rstrip("kmMGTKi")
    unit = text[len(number) :]
    value = Decimal(number) / 1000 if unit == "m" else Decimal(number) * _FACTORS[unit]
    if value != value.to_integral_value():
        for name, step in (("m", 3), ("u", 6), ("n", 9)):
            scaled = value.scaleb(step)
            if scaled == scaled.to_integral_value():
                return f"{int(scaled)}{name}"
        raise ValueError(f"{text} is finer than what tests need")
    whole = int(value)
    names = ("Pi", "Ti", "Gi", "Mi", "Ki") if unit.endswith("i") else ("P", "T", "G", "M", "k")
    base = 1024 if unit.endswith("i") else 1000
    for power, name in zip((5, 4, 3, 2, 1), names, strict=True):
        if whole and whole % base**power == 0:
            return f"{whole // base**power}{name}"
    return str(whole)
