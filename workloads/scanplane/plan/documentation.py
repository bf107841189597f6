"""``docs/resources.md``, written from the models, so that what is accepted and what people read never differ."""

from scanplane.plan.condition_reasons import CONDITIONS, REASONS, conditions_of
from scanplane.resources.common import API_VERSION, PAUSED_ANNOTATION
from scanplane.resources.documentation import IN_EVERY_STATUS, field_rows, render_kind, render_table
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import schema_of
from scanplane.resources.status import ConditionType, ScannerStatus

__all__ = ["render_resources"]

_INTRODUCTION = f"""\
<!-- Generated from workloads/scanplane/resources and workloads/scanplane/plan by `make generate`. Edit there. -->

# Resources

Every field of the five kinds of `{API_VERSION}`, what their status says, and every reason of every condition. All kinds are
namespaced and of the category `scanplane`:

    kubectl get scanplane                    # every kind
    kubectl explain feed.spec --recursive    # the same as below, from the cluster itself
    scanplane validate FILE...               # every mistake in a file, with its place

{{contents}}

## In every kind

- `metadata.name` has at most 48 lower-case letters, digits and hyphens, since names of workloads are made from it.
- `metadata.annotations["{PAUSED_ANNOTATION}"]`: `"true"` stops the operator from acting on the resource. Of annotations and
  labels below `scanplane.io/` it is the one that you write; `scanplane validate` refuses every other.
- A field that is left out has the default of its row. The operator decides it and writes nothing into your resource. A
  **required** field is so where the object is there that it stands in.
- `{{{{name}}}}` refers to a resource, Secret or ConfigMap of the same namespace, `{{{{name, key}}}}` to one key of such a Secret.
- A duration is a whole number of at most six digits with its unit: `250ms`, `5s`, `15m`, `24h`.
- `[]` in a path stands for each item of a list.
"""

_STATUS = """\
## In every status

Figures describe the workloads' last report. They are written when they changed noticeably, or after a minute, so that an idle
cluster is not written to.
"""

_CONDITIONS = """\
## Conditions

`kubectl get scanplane -o wide` shows the message of `Ready`, `kubectl get feed massive -o yaml` all of them, and
`kubectl wait feed/massive --for=condition=Ready` waits. What to do day by day is in [operations.md](operations.md).
"""

_READY = (
    "Where `Accepted` or `Progressing` is what keeps it from being true, it is false with their reason and message."
)


def render_resources() -> str:
    """Return the whole document as Markdown."""
    sections = [*(render_kind(info) for info in KINDS.values()), _status(), _conditions()]
    return "\n".join([_INTRODUCTION.format(contents=_contents()), *sections])


def _contents() -> str:
    names = [*(kind.value for kind in Kind), "Conditions"]
    return " · ".join(f"[{name}](#{name.lower()})" for name in names)


def _status() -> str:
    rows = [row for row in field_rows(schema_of(ScannerStatus)) if row.path.startswith(IN_EVERY_STATUS)]
    cells = [(f"`{row.path}`", row.values, row.meaning) for row in rows]
    return f"{_STATUS}\n{render_table(('field of `status`', 'values', 'meaning'), cells)}\n"


def _conditions() -> str:
    kinds = {each: [kind for kind in Kind if each in conditions_of(kind)] for each in ConditionType}
    rows = [
        (f"`{each}`", "all" if len(of) == len(Kind) else ", ".join(of), CONDITIONS[each]) for each, of in kinds.items()
    ]
    parts = [f"{_CONDITIONS}\n{render_table(('condition', 'of', 'says'), rows)}\n"]
    for condition, reasons in REASONS.items():
        table = render_table(
            (f"`{condition}`", "reason", "so"),
            [(each.status.value, f"`{each.reason}`", each.meaning) for each in reasons],
        )
        parts.append(f"{table}\n")
    return "\n".join([*parts, f"{_READY}\n"])
