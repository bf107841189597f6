"""The CustomResourceDefinitions, made from the models and the table of kinds.

Pure: :func:`render_crds` returns texts, ``python -m scanplane.cli.generate`` writes them to ``crds/``;
:func:`render_chart_crds` returns the same as templates of the Helm chart, which decides whether they are installed and kept.
One served version and only ever new optional fields until v1: there is no conversion webhook to need.
"""

from typing import Any

import yaml

from scanplane.resources.common import API_GROUP, API_VERSION, ResourceName
from scanplane.resources.kinds import KINDS, KindInfo, PrinterColumn
from scanplane.resources.schema import documentation, render_schema, schema_of, spec_schema

__all__ = ["custom_resource_definition", "render_chart_crds", "render_crds"]

_HEADER = "# Generated from workloads/scanplane/resources by `make generate`. Do not edit.\n"


def render_crds() -> dict[str, str]:
    """Return the YAML text of every CRD by its file name, the same on every call."""
    return {
        f"{API_GROUP}_{info.plural}.yaml": _HEADER
        + yaml.safe_dump(custom_resource_definition(info), sort_keys=False, width=120, allow_unicode=True)
        for info in KINDS.values()
    }


def render_chart_crds() -> dict[str, str]:
    """Return each CRD as a template of the Helm chart by its file name: what is between the metadata is as in ``crds/``."""
    return {f"{API_GROUP}_{info.plural}.yaml": _chart_template(info) for info in KINDS.values()}


def _chart_template(info: KindInfo) -> str:
    definition = custom_resource_definition(info)
    spec = yaml.safe_dump({"spec": definition["spec"]}, sort_keys=False, width=120, allow_unicode=True)
    return (
        f"{{{{- /* {_HEADER.strip('# ').strip()} */}}}}\n"
        "{{- if .Values.crds.enabled }}\n"
        f"apiVersion: {definition['apiVersion']}\n"
        f"kind: {definition['kind']}\n"
        "metadata:\n"
        f"  name: {definition['metadata']['name']}\n"
        "  labels:\n"
        '    {{- include "scanplane.labels" (dict "root" $ "component" "crds") | nindent 4 }}\n'
        "  {{- if .Values.crds.keep }}\n"
        "  annotations:\n"
        "    helm.sh/resource-policy: keep\n"
        "  {{- end }}\n"
        f"{_without_actions(spec)}"
        "{{- end }}\n"
    )


def _without_actions(text: str) -> str:
    """Return *text* so that Helm prints it as it is."""
    return text.replace("{{", '{{ "{{" }}')


def custom_resource_definition(info: KindInfo) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": info.kind.value,
                "listKind": f"{info.kind.value}List",
                "plural": info.plural,
                "singular": info.singular,
                "shortNames": list(info.short_names),
                "categories": ["scanplane"],
            },
            "versions": [_version(info)],
        },
    }


def _version(info: KindInfo) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if info.scale:
        subresources["scale"] = {
            "specReplicasPath": info.scale.spec_replicas,
            "statusReplicasPath": info.scale.status_replicas,
            "labelSelectorPath": info.scale.selector,
        }
    return {
        "name": API_VERSION.partition("/")[2],
        "served": True,
        "storage": True,
        "subresources": subresources,
        "additionalPrinterColumns": [_column(column) for column in _columns(info)],
        "schema": {"openAPIV3Schema": _root_schema(info)},
    }


def _columns(info: KindInfo) -> tuple[PrinterColumn, ...]:
    """Return Ready, the kind's own figures, the age and, when asked for wide output, why it is or isn't ready."""
    ready = '.status.conditions[?(@.type=="Ready")]'
    return (
        PrinterColumn("Ready", "string", f"{ready}.status", "Whether it is accepted and rolled out."),
        *info.columns,
        PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Time since it was created."),
        PrinterColumn("Message", "string", f"{ready}.message", "Why it is ready or not.", wide=True),
    )


def _column(column: PrinterColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        "priority": 1 if column.wide else 0,
    }


def _root_schema(info: KindInfo) -> dict[str, Any]:
    # Of metadata a CRD may constrain the name alone.
    return {
        "type": "object",
        "description": documentation(info.model),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{API_VERSION}."},
            "kind": {"type": "string", "description": f"{info.kind.value}."},
            "metadata": {"type": "object", "properties": {"name": render_schema(schema_of(ResourceName))}},
            "spec": render_schema(spec_schema(info.model)),
            "status": render_schema(schema_of(info.status)),
        },
    }
