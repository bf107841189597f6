"""A role as its home sees it, and what a home gives to a role.

A home is either a process of its own (a pod) or ``scanplane up``. In both the life is the same: a role is made from
one configuration, prepares itself, stands by, gets its baton, works until it is told to stop, hands over, ends.
"""

import asyncio
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

from scanplane.broker.interface import Broker
from scanplane.cache.interface import Cache
from scanplane.plan.configuration import SecretKey
from scanplane.telemetry.status import RoleStatus

__all__ = ["ReportsProgress", "Role", "RoleInputError", "RoleServices", "SecretMissingError", "Secrets"]


class RoleInputError(Exception):
    """A role can't be made from what it was given (a file is missing, a value makes no sense); the text says what."""


class SecretMissingError(Exception):
    """A secret that the configuration refers to is not there; the text says which and where it was looked for."""


class Secrets(Protocol):
    """Where a role finds the values behind its configuration's references."""

    def read(self, key: SecretKey) -> str:
        """Return one value. Raises SecretMissingError."""
        ...

    def read_all(self, name: str) -> dict[str, str]:
        """Return every key and value of one Secret. Raises SecretMissingError."""
        ...


class RoleServices(Struct, frozen=True):
    """What a home gives to a role. ``files`` is the folder that relative paths in a configuration start from."""

    broker: Broker
    cache: Cache
    secrets: Secrets
    files: Path


class Role(Protocol):
    """One running workload."""

    @property
    def name(self) -> str:
        """The instance's name, as in its configuration."""
        ...

    @property
    def standby(self) -> asyncio.Event:
        """Set once the role is prepared and waits for its baton, or works: what readiness shows."""
        ...

    @property
    def active(self) -> asyncio.Event:
        """Set while the role holds its baton and works."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Live until *stop* is set; then hand over and return. Cancelling it hands over too, as well as it can."""
        ...

    def status(self) -> RoleStatus:
        """The figures of this moment."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """A role that promises progress; the liveness probe fails while a promise is broken."""

    def stalled(self) -> tuple[str, ...]:
        """Return one line for each broken promise (see ``Lifecycle.stalled``)."""
        ...
