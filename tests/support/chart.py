"""The Helm chart as tests see it: values in, manifests out, and the table that its permissions are held against."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.kubernetes_build import program_on_hand

__all__ = [
    "CHART",
    "EVERYTHING",
    "NOTHING_BUNDLED",
    "ROOT",
    "Manifest",
    "Rule",
    "expressions",
    "helm",
    "metrics_of",
    "of_kind",
    "only",
    "permissions",
    "pod_specs",
    "previous_chart",
    "previous_version",
    "render",
    "set_values",
]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "scanplane"

_OF_A_VERSION = ("charts/scanplane/Chart.yaml", "images/Containerfile", "workloads/scanplane/analyzer/silence.py")
"""What a version has that can be installed and gives the same configurations as this one; nothing of before was released."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the definitions are long
Manifest = dict[str, Any]
Rule = tuple[str, str, frozenset[str]]
"""A group, a resource of it and the verbs on it."""

NOTHING_BUNDLED: Mapping[str, object] = {"bundled.rabbitmq.enabled": False, "bundled.redis.enabled": False}
EVERYTHING: Mapping[str, object] = {
    "simulator.enabled": True,
    "networkPolicies.enabled": True,
    "workloads.podDisruptionBudgets": True,
    "monitoring.serviceMonitor.enabled": True,
    "monitoring.podMonitor.enabled": True,
    "monitoring.prometheusRule.enabled": True,
    "monitoring.dashboard.enabled": True,
    "bundled.rabbitmq.persistence.enabled": True,
    "bundled.redis.persistence.enabled": True,
    "image.pullSecrets": ["registry"],
}


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm against the cluster of a kubeconfig; without one, against none."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig or "/nonexistent")}
    return subprocess.run(
        [str(program_on_hand("helm")), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def set_values(values: Mapping[str, object]) -> list[str]:
    """Return the arguments of helm that set values by their paths."""
    return [part for path, value in values.items() for part in ("--set-json", f"{path}={json.dumps(value)}")]


def render(values: Mapping[str, object], *, release: str = "scanplane", namespace: str = "scanners") -> list[Manifest]:
    """Return what `helm template` makes of values by their paths, hooks of `helm test` included.

    Raises AssertionError with what helm says.
    """
    done = helm("template", release, str(CHART), "--namespace", namespace, *set_values(values))
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.load_all(done.stdout, _Loader) if manifest]


def of_kind(manifests: list[Manifest], kind: str, name: str | None = None) -> list[Manifest]:
    """Return the manifests of a kind, of a name."""
    return [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and (name is None or manifest["metadata"]["name"] == name)
    ]


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Return the only manifest of a kind, of a name."""
    (found,) = of_kind(manifests, kind, name)
    return found


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Return the name and the spec of every pod that the manifests would make."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif manifest["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
            yield name, manifest["spec"]["template"]["spec"]


def expressions() -> list[tuple[str, str]]:
    """Return alert or panel and PromQL of everything that the chart asks of Prometheus."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    found = [(rule["alert"], rule["expr"]) for group in alerts["groups"] for rule in group["rules"]]
    found.append(("open hours", values["monitoring"]["prometheusRule"]["openHours"]))
    found += [(panel["title"], each["expr"]) for panel in dashboard["panels"] for each in panel.get("targets", [])]
    return found


def metrics_of(expression: str) -> set[str]:
    """Return the metrics of ours and of our processes that a PromQL expression reads."""
    return set(re.findall(r"\b(?:scanplane|process)_[a-z0-9_]+", re.sub(r'"[^"]*"', "", expression)))


def previous_chart(folder: Path) -> Path | None:
    """Write the version of before into *folder* and return where its chart is; see ``previous_version``."""
    source = previous_version(folder)
    return None if source is None else source / "charts" / "scanplane"


def previous_version(folder: Path) -> Path | None:
    """Write the source of the last release into *folder* and return where.

    Before the first release it is the first version that can be upgraded. None where the history of this
    repository is not at hand; raises AssertionError if that is so in continuous integration, where nothing may be left out.
    """
    commits = _git("tag", "--merged", "HEAD", "--sort=-creatordate", "v*").split()
    commits += _git("log", "--format=%H", "--reverse", "--diff-filter=A", "--", *_OF_A_VERSION).split()
    for commit in commits:
        if len(_git("ls-tree", commit, *_OF_A_VERSION).splitlines()) == len(_OF_A_VERSION):
            archive = folder / "previous.tar"
            _git("archive", "--output", str(archive), commit)
            shutil.unpack_archive(archive, folder / "previous", filter="data")
            archive.unlink()
            return folder / "previous"
    assert not os.environ.get("CI"), "the history of this repository is not at hand: fetch all of it, with its tags"
    return None


def _git(*arguments: str) -> str:
    """Return what git says of this repository; nothing where it is none."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def permissions(*, asked_for: frozenset[str] = frozenset()) -> set[Rule]:
    """Return the table of the operator's permissions in its design; what stands there as asked for only where it is."""
    text = (ROOT / "docs" / "design" / "0006-operator.md").read_text()
    section = text.partition("\n## Permissions\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in section.splitlines() if line[:1] == "|"]
    rules: set[Rule] = set()
    previous: list[str] = []
    for group, named, verbs in rows[2:]:
        optional = named.endswith("(where asked for)")
        resources = re.split(r",\s*", named.removesuffix("(where asked for)").strip())
        if resources == ["the same with /status"]:
            resources = [f"{resource}/status" for resource in previous]
        previous = resources
        rules |= {
            ("" if group == "core" else group, resource, frozenset(re.split(r",\s*", verbs)))
            for resource in resources
            if not optional or resource in asked_for
        }
    return rules
