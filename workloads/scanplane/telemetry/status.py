"""The live figures of a role instance: served at ``/status``, kept in the cache, read by the operator and the page."""

import enum

from msgspec import Struct

__all__ = ["Phase", "RoleStatus"]


class Phase(enum.StrEnum):
    """Where a workload is in its life (the restart contract)."""

    STARTING = "Starting"
    STANDBY = "Standby"
    ACTIVE = "Active"
    DRAINING = "Draining"
    STOPPED = "Stopped"


class RoleStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """One instance's figures: ``figures`` are numbers by name with the unit in the name, ``problems`` one-line texts."""

    role: str
    instance: str
    configuration: str
    phase: Phase
    version: str
    started_ns: int
    updated_ns: int
    generation: int = 0
    figures: dict[str, float] = {}
    scanners: dict[str, dict[str, float]] = {}
    problems: tuple[str, ...] = ()
