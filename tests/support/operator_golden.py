"""What the operator makes of the examples, as files to read and to compare: ``make generate`` writes them again."""

import json
from pathlib import Path
from typing import Any

import yaml

from scanplane_operator.settings import PodSettings
from support.operator_world import World

__all__ = ["GOLDEN", "render"]

_ROOT = Path(__file__).parents[2]
GOLDEN = _ROOT / "tests" / "golden" / "operator"

_INPUTS = ("us-stocks.yaml", "scanners/top-gainers.yaml", "scanners/low-float-gappers.yaml")
_SECRETS = {
    "scanplane-services": {"brokerUrl": "digest-of-the-broker-url", "cacheUrl": "digest-of-the-cache-url"},
    "massive": {"apiKey": "digest-of-the-key"},
}
_SETTINGS = PodSettings(
    image="registry/scanplane:1.0.0", pull_secrets=("registry",), network_policies=True, disruption_budgets=True
)


def render() -> dict[str, str]:
    """Return the text of every golden file by its name: the objects of a first pass, and every status once they run."""
    text = "\n---\n".join((_ROOT / "examples" / name).read_text(encoding="utf-8") for name in _INPUTS)
    world = World(text, secrets=_SECRETS, settings=_SETTINGS)
    objects = [_readable(manifest) for manifest in world.make_pass().decisions.changes.apply]
    world.finish_rollouts()
    world.settle()
    statuses = [
        {"kind": str(key.kind), "metadata": {"name": key.name}, "status": document["status"]}
        for key, document in sorted(world.resources.items(), key=lambda item: item[0])
    ]
    head = f"# What the operator makes of {', '.join(_INPUTS)} in examples/. Generated: make generate.\n"
    return {
        "us-stocks.objects.yaml": head + _dump(objects),
        "us-stocks.statuses.yaml": head + _dump(statuses),
    }


def _readable(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with a configuration as a tree rather than one long line."""
    data = manifest.get("data")
    return manifest if data is None else {**manifest, "data": {name: json.loads(text) for name, text in data.items()}}


class _Dumper(yaml.SafeDumper):
    """Writes every value out in full."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _dump(documents: list[dict[str, Any]]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True, explicit_start=True)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for file_name, content in render().items():
        (GOLDEN / file_name).write_text(content, encoding="utf-8")
