"""From a configuration to its role: the one place that knows all three.

Each role is imported when it is asked for, since a listener's process has no use for the engine: that is a third of its
start and of its memory.
"""

from collections.abc import Awaitable, Callable

from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    ListenerConfiguration,
    RoleConfiguration,
)
from scanplane.roles.interface import Role, RoleServices
from scanplane.telemetry.listening import EVERY_INTERFACE
from scanplane.telemetry.setup import Telemetry

__all__ = ["make_role"]


def make_role(
    configuration: RoleConfiguration,
    services: RoleServices,
    telemetry: Telemetry,
    *,
    gateway_host: str = EVERY_INTERFACE,
    gateway_metrics: Callable[[], Awaitable[bytes]] | None = None,
) -> Role:
    """Return the role that *configuration* asks for; nothing runs yet.

    *gateway_host* is where a gateway listens. *gateway_metrics* returns what it answers at ``/metrics``, for a home that has no
    status port; None where there is one.
    """
    match configuration:
        case ListenerConfiguration():
            from scanplane.listener.role import Listener  # noqa: PLC0415  # see the module's text

            return Listener(configuration, services, telemetry)
        case AnalyzerConfiguration():
            from scanplane.analyzer.role import Analyzer  # noqa: PLC0415

            return Analyzer(configuration, services, telemetry)
        case GatewayConfiguration():
            from scanplane.gateway.role import Gateway  # noqa: PLC0415

            return Gateway(configuration, services, telemetry, host=gateway_host, metrics=gateway_metrics)
