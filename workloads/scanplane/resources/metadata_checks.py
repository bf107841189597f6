"""What Kubernetes says of an object's metadata, and what Scanplane keeps for itself in it."""

import re
from collections.abc import Iterator

from scanplane.resources.common import API_GROUP, PAUSED_ANNOTATION, ResourceName
from scanplane.resources.schema import NodeType, SchemaNode, schema_of
from scanplane.resources.validation import Finding, check_value, closest
from scanplane.resources.yaml_values import Path, PlainTexts

__all__ = ["METADATA_FIELDS", "check_metadata"]

_WRITTEN_BY_THE_SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
METADATA_FIELDS = ("name", "namespace", "labels", "annotations", *_WRITTEN_BY_THE_SERVER)

_TEXTS = SchemaNode(type=NodeType.OBJECT, values=SchemaNode(type=NodeType.STRING))
_LABEL_NAME = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_SUBDOMAIN = r"(?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY = re.compile(rf"({_SUBDOMAIN}/)?{_LABEL_NAME}", re.ASCII)
_LABEL_VALUE = re.compile(rf"{_LABEL_NAME}?", re.ASCII)
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_MAX_ANNOTATION_BYTES = 256 * 1024


def check_metadata(metadata: object, unquoted: PlainTexts, name: SchemaNode | None = None) -> Iterator[Finding]:
    """Yield what is wrong with ``metadata``, without nulls, of a document that somebody wrote.

    *name* says what a name may be; a resource's if left out.
    """
    path: Path = ("metadata",)
    if not isinstance(metadata, dict):
        yield Finding(path, "must be a mapping", "write metadata: {name: ...}")
        return
    for field in metadata:
        if field not in METADATA_FIELDS:
            yield Finding((*path, field), f"unknown field {field!r}", closest(field, METADATA_FIELDS), on_key=True)
    if "name" in metadata:
        yield from check_value(name or schema_of(ResourceName), metadata["name"], (*path, "name"), unquoted)
    else:
        yield Finding((*path, "name"), "is missing")
    namespace = metadata.get("namespace", "default")
    yield from check_value(SchemaNode(type=NodeType.STRING), namespace, (*path, "namespace"), unquoted)
    if isinstance(namespace, str) and not _NAMESPACE.fullmatch(namespace):
        yield Finding((*path, "namespace"), f"{namespace!r} is not the name of a namespace")
    for field in ("labels", "annotations"):
        yield from _check_texts(field, metadata.get(field, {}), (*path, field), unquoted)


def _check_texts(field: str, texts: object, path: Path, unquoted: PlainTexts) -> Iterator[Finding]:
    yield from check_value(_TEXTS, texts, path, unquoted)
    if not isinstance(texts, dict):
        return
    size = 0
    for key, value in texts.items():
        below = (*path, key)
        text = value if isinstance(value, str) else ""
        size += len(key.encode()) + len(text.encode())
        if not _KEY.fullmatch(key.lower() if field == "annotations" else key):  # as Kubernetes does
            yield Finding(below, f"{key!r} cannot be a key of {field}", on_key=True)
        elif field == "labels" and not _LABEL_VALUE.fullmatch(text):
            yield Finding(below, f"{text!r} is not the value of a label")
        else:
            yield from _check_reserved(field, key, value, below)
    if field == "annotations" and size > _MAX_ANNOTATION_BYTES:
        yield Finding(path, f"must have at most {_MAX_ANNOTATION_BYTES} bytes, not {size}")


def _check_reserved(field: str, key: str, value: object, path: Path) -> Iterator[Finding]:
    """Keys below scanplane.io mean something, so that one with a slip in it must not pass in silence."""
    if not key.startswith(f"{API_GROUP}/"):
        return
    if field == "annotations" and key == PAUSED_ANNOTATION:
        if isinstance(value, str) and value not in ("true", "false"):
            yield Finding(path, f"must be 'true' or 'false', not {value!r}")
        return
    suggestion = closest(key, (PAUSED_ANNOTATION,), "the one annotation there is") if field == "annotations" else ""
    yield Finding(path, f"{field} that begin with {API_GROUP}/ are reserved", suggestion, on_key=True)
