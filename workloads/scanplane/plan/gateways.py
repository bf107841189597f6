"""The gateway of the namespace. It learns of boards from the cache, so that a new Scanner does not restart it."""

import msgspec

from scanplane.plan.acceptance import Acceptance
from scanplane.plan.configuration import GatewayConfiguration
from scanplane.plan.inventory import Home
from scanplane.plan.services import credentials_digest, data_plane_spec, services_of, sources_of
from scanplane.resources.data_plane import Gateway
from scanplane.resources.kinds import Kind

__all__ = ["gateway_configuration"]

_DEFAULT_PORT = 8080


def gateway_configuration(acceptance: Acceptance) -> GatewayConfiguration:
    """Return the gateway's configuration."""
    gateway = data_plane_spec(acceptance).gateway or Gateway()
    services = services_of(acceptance)
    # how many there are and the Service before them are no reason for a restart
    served = msgspec.structs.replace(gateway, service=None, replicas=None)
    # a pod has all ports for itself, and a Service needs one that is known
    is_free_everywhere = gateway.port == 0 and acceptance.inventory.home is Home.CLUSTER
    tokens = gateway.tokens_secret_ref.name if gateway.tokens_secret_ref is not None else None
    return GatewayConfiguration(
        services=services,
        port=_DEFAULT_PORT if gateway.port is None or is_free_everywhere else gateway.port,
        tokens_secret=tokens,
        max_clients=gateway.max_clients or 1000,
        max_client_bytes=gateway.max_client_bytes or 4 * 1024 * 1024,
        max_updates_per_second=gateway.max_updates_per_second or 10.0,
        credentials_digest=credentials_digest(acceptance.inventory, (services.broker_url, services.cache_url, tokens)),
        sources=sources_of([(Kind.DATA_PLANE, "default", (services, served))]),
    )
