"""What stands around a Deployment: the gateway's Service, disruption budgets, network policies."""

from collections.abc import Mapping, Sequence
from typing import Any

from scanplane.plan.configuration import GatewayConfiguration, RoleConfiguration
from scanplane.plan.planner import Plan
from scanplane.resources.pods import Service
from scanplane_operator.manifests.pods import GATEWAY_PORT_NAME, STATUS_PORT
from scanplane_operator.names import metadata_of, object_name, selector_of
from scanplane_operator.settings import PodSettings

__all__ = ["disruption_budget", "gateway_service", "network_policy"]


def gateway_service(
    configuration: GatewayConfiguration, plan: Plan, namespace: str, owner: dict[str, Any]
) -> dict[str, Any]:
    """Return the Service in front of the gateways."""
    gateway = plan.data_plane.spec.gateway if plan.data_plane is not None else None
    service = (gateway.service if gateway is not None else None) or Service()
    metadata = metadata_of(configuration, object_name(configuration), namespace, owner)
    if service.annotations:
        metadata["annotations"] = dict(service.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": str(service.type or "ClusterIP"),
            "selector": selector_of(configuration),
            "ports": [
                {
                    "name": GATEWAY_PORT_NAME,
                    "port": configuration.port,
                    "targetPort": GATEWAY_PORT_NAME,
                    "protocol": "TCP",
                }
            ],
        },
    }


def disruption_budget(configuration: RoleConfiguration, namespace: str, owner: dict[str, Any]) -> dict[str, Any]:
    """Return the budget that keeps one pod: a drain waits until another stands by (``kubectl rollout restart``)."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata_of(configuration, object_name(configuration), namespace, owner),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": selector_of(configuration)}},
    }


def network_policy(
    configuration: RoleConfiguration, namespace: str, owner: dict[str, Any], settings: PodSettings
) -> dict[str, Any]:
    """Return the policy that lets in what a role is for: the operator and Prometheus to its status, people to the gateway.

    What goes out is not narrowed: brokers, caches, providers and collectors stand wherever the user says.
    """
    ingress = [_ingress(STATUS_PORT, settings.status_peers)]
    if isinstance(configuration, GatewayConfiguration):
        ingress.append(_ingress(configuration.port, settings.gateway_peers))
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata_of(configuration, object_name(configuration), namespace, owner),
        "spec": {
            "podSelector": {"matchLabels": selector_of(configuration)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _ingress(port: int, peers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rule: dict[str, Any] = {"ports": [{"port": port, "protocol": "TCP"}]}
    return {**rule, "from": [dict(peer) for peer in peers]} if peers else rule
