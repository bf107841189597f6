"""The operator with a thousand resources on a real kube-apiserver: at rest, on a change, and what it holds in memory."""

from bench.report import Better, Figure, PartResult, percentile
from support.operator_scale import measure_scale
from support.operator_site import running_cluster

__all__ = ["measure"]

NAMESPACES, SCANNERS, CHANGES, REST_S = 10, 90, 120, 60.0

_MEANING = (
    "A DataPlane, 2 Feeds, 2 Markets, 5 Subscriptions and 90 Scanners in each of 10 namespaces, on kube-apiserver and etcd with "
    "the controllers of Deployments on the same machine; pods are said to be ready as soon as they are there. From the moment a "
    "Scanner is patched to the one at which its analyzer's Deployment asks for new pods. Writes are counted by the API server."
)


def measure() -> PartResult:
    """Make a thousand resources, rest for a minute, change Scanners."""
    with running_cluster() as cluster:
        found = measure_scale(cluster, namespaces=NAMESPACES, scanners=SCANNERS, changes=CHANGES, rest_s=REST_S)
    applied = [each * 1000 for each in found.applied_s]
    figures = (
        Figure(
            name=f"writes in {found.rest_s:.0f} s at rest",
            unit="writes",
            values=(float(found.writes_at_rest),),
            better=Better.LESS,
            goal=0.0,
        ),
        Figure(
            name=f"a changed Scanner applied, p99 of {len(applied)}",
            unit="ms",
            values=(percentile(applied, 0.99),),
            better=Better.LESS,
            goal=1000.0,
        ),
        Figure(name="a changed Scanner applied", unit="ms", values=tuple(applied), better=Better.LESS),
        Figure(
            name="resident memory",
            unit="MiB",
            values=(found.resident_mebibytes,),
            better=Better.LESS,
            goal=100.0,
            remark=f"{found.resident_at_start_mebibytes:.0f} MiB before there was any resource",
        ),
        Figure(
            name=f"{found.resources} resources applied and rolled out",
            unit="s",
            values=(found.settled_s,),
            better=Better.LESS,
        ),
    )
    return PartResult(title="Operator", meaning=_MEANING, figures=figures)
