"""From a configuration to its role: the one place that knows all three."""

from scanplane.analyzer.role import Analyzer
from scanplane.gateway.role import Gateway
from scanplane.listener.role import Listener
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    ListenerConfiguration,
    RoleConfiguration,
)
from scanplane.roles.interface import Role, RoleServices
from scanplane.telemetry.setup import Telemetry

__all__ = ["make_role"]


def make_role(configuration: RoleConfiguration, services: RoleServices, telemetry: Telemetry) -> Role:
    """Return the role that *configuration* asks for; nothing runs yet."""
    match configuration:
        case ListenerConfiguration():
            return Listener(configuration, services, telemetry)
        case AnalyzerConfiguration():
            return Analyzer(configuration, services, telemetry)
        case GatewayConfiguration():
            return Gateway(configuration, services)
