"""How workloads stand on a cluster: narrow overrides, never a whole PodSpec. ``scanplane up`` has no use for them."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from scanplane.resources.common import LocalReference, wording

__all__ = [
    "Amounts",
    "PullPolicy",
    "Resources",
    "RoleDefaults",
    "Service",
    "ServiceType",
    "Toleration",
    "TolerationEffect",
    "TolerationOperator",
    "Workloads",
]

Quantity = Annotated[
    str,
    Meta(
        description="An amount as Kubernetes writes it.",
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        min_length=1,
        max_length=16,
        extra=wording("an amount", "write it as Kubernetes does, such as 500m or 512Mi, and quote a plain number"),
    ),
]

LabelValue = Annotated[str, Meta(max_length=63)]


class Amounts(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An amount of each resource."""

    cpu: Annotated[Quantity, Meta(description="Processor, in cores; 500m is half of one.")] | None = None
    memory: Annotated[Quantity, Meta(description="Memory, in bytes; 512Mi is 512 mebibytes.")] | None = None


class Resources(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a pod is promised and what it may use at most."""

    requests: Annotated[Amounts, Meta(description="What is promised; what is left out has its default.")] | None = None
    limits: Annotated[Amounts, Meta(description="What is the most; what is left out has its default.")] | None = None


class RoleDefaults(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What every pod of a role gets."""

    resources: Annotated[Resources, Meta(description="Processor and memory.")] | None = None


class PullPolicy(enum.StrEnum):
    """When the image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class TolerationOperator(enum.StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TolerationEffect(enum.StrEnum):
    """The effect of a taint."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A taint of nodes that pods put up with."""

    key: Annotated[str, Meta(description="Key of the taint. Every taint if left out.", max_length=317)] | None = None
    operator: Annotated[TolerationOperator, Meta(description="How it compares. Equal if left out.")] | None = None
    value: Annotated[LabelValue, Meta(description="Value of the taint.")] | None = None
    effect: Annotated[TolerationEffect, Meta(description="Effect of the taint. Every effect if left out.")] | None = (
        None
    )
    toleration_seconds: (
        Annotated[int, Meta(description="For how long NoExecute is put up with, in seconds. For ever if left out.")]
        | None
    ) = None


class Workloads(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The image of every workload and where its pods run."""

    image: (
        Annotated[
            str,
            Meta(
                description="Image of the workloads. The operator's own if left out.",
                pattern=r"^[^\s]+$",
                max_length=512,
                extra=wording("an image", "write a name with a tag or digest, such as registry/scanplane:1.2.0"),
            ),
        ]
        | None
    ) = None
    image_pull_policy: (
        Annotated[PullPolicy, Meta(description="When it is pulled. As the operator was installed if left out.")] | None
    ) = None
    image_pull_secrets: (
        Annotated[
            list[LocalReference], Meta(description="Secrets of type kubernetes.io/dockerconfigjson.", max_length=8)
        ]
        | None
    ) = None
    node_selector: (
        Annotated[dict[str, LabelValue], Meta(description="Labels that nodes must have.", max_length=16)] | None
    ) = None
    tolerations: (
        Annotated[list[Toleration], Meta(description="Taints that pods put up with.", max_length=16)] | None
    ) = None
    priority_class_name: Annotated[str, Meta(description="Priority class of the pods.", max_length=253)] | None = None
    listener: Annotated[RoleDefaults, Meta(description="The listeners.")] | None = None
    analyzer: Annotated[RoleDefaults, Meta(description="The analyzers; a Market may say otherwise.")] | None = None
    gateway: Annotated[RoleDefaults, Meta(description="The gateways.")] | None = None


class ServiceType(enum.StrEnum):
    """How the gateway is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Service(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The gateway's Service."""

    type: Annotated[ServiceType, Meta(description="How it is reached. ClusterIP if left out.")] | None = None
    annotations: (
        Annotated[
            dict[str, Annotated[str, Meta(max_length=1024)]],
            Meta(description="Annotations of the Service, for load balancers.", max_length=32),
        ]
        | None
    ) = None
