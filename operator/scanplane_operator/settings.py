"""What the operator is told by its environment; see the table in ``docs/design/0006-operator.md``."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.resources.data_plane import LogLevel
from scanplane.resources.pods import PullPolicy

__all__ = ["PodSettings", "Settings", "SettingsError", "read_settings"]


_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII)


class SettingsError(Exception):
    """A variable is missing or makes no sense; the text says which and what to write."""


class PodSettings(Struct, frozen=True, kw_only=True):
    """How workloads are rendered, where a DataPlane does not say otherwise.

    ``status_peers`` and ``gateway_peers`` are the NetworkPolicy peers that reach the status ports and the gateways; everybody
    where there are none.
    """

    image: str
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    pull_secrets: tuple[str, ...] = ()
    network_policies: bool = False
    status_peers: tuple[Mapping[str, Any], ...] = ()
    gateway_peers: tuple[Mapping[str, Any], ...] = ()
    disruption_budgets: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """All of it. ``namespaces`` is empty for the whole cluster; intervals are in seconds."""

    pods: PodSettings
    namespaces: tuple[str, ...] = ()
    status_port: int = 8081
    resync_s: float = 120.0
    secrets_s: float = 10.0
    figures_s: float = 15.0
    log_level: LogLevel = LogLevel.INFO


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingsError."""
    reader = _Reader(environment)
    return Settings(
        pods=PodSettings(
            image=reader.required("SCANPLANE_IMAGE", "the image of the workloads, such as registry/scanplane:1.2.0"),
            pull_policy=PullPolicy(
                reader.choice("SCANPLANE_IMAGE_PULL_POLICY", tuple(PullPolicy), PullPolicy.IF_NOT_PRESENT)
            ),
            pull_secrets=reader.names("SCANPLANE_IMAGE_PULL_SECRETS"),
            network_policies=reader.switch("SCANPLANE_NETWORK_POLICIES"),
            status_peers=reader.peers("SCANPLANE_NETWORK_POLICY_STATUS_FROM"),
            gateway_peers=reader.peers("SCANPLANE_NETWORK_POLICY_GATEWAY_FROM"),
            disruption_budgets=reader.switch("SCANPLANE_POD_DISRUPTION_BUDGETS"),
        ),
        namespaces=reader.names("SCANPLANE_NAMESPACES"),
        status_port=reader.whole("SCANPLANE_STATUS_PORT", 8081, 0, 65_535),
        resync_s=reader.number("SCANPLANE_RESYNC_SECONDS", 120, 1, 86_400),
        secrets_s=reader.number("SCANPLANE_SECRETS_SECONDS", 10, 0.1, 3600),
        figures_s=reader.number("SCANPLANE_FIGURES_SECONDS", 15, 0.1, 3600),
        log_level=LogLevel(reader.choice("SCANPLANE_LOG_LEVEL", tuple(LogLevel), LogLevel.INFO)),
    )


class _Reader:
    """Reads variables; an empty one counts as left out, as charts render it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def _text(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def required(self, name: str, what: str) -> str:
        text = self._text(name)
        if not text:
            raise SettingsError(f"{name} is not set: write {what}")
        return text

    def names(self, name: str) -> tuple[str, ...]:
        parts = dict.fromkeys(part.strip() for part in self._text(name).split(",") if part.strip())
        for part in parts:
            if not _NAME.fullmatch(part):
                raise SettingsError(f"{name}: {part!r} is no name: write names of Kubernetes with commas between them")
        return tuple(parts)

    def peers(self, name: str) -> tuple[Mapping[str, Any], ...]:
        try:
            return tuple(msgspec.json.decode(self._text(name) or "[]", type=list[dict[str, Any]]))
        except msgspec.DecodeError as error:
            found = "no list of objects" if isinstance(error, msgspec.ValidationError) else "no JSON"
            hint = 'write a list of NetworkPolicy peers in JSON, such as [{"podSelector": {}}]'
            raise SettingsError(f"{name} is {found}: {hint}") from error

    def switch(self, name: str) -> bool:
        return self.choice(name, ("true", "false"), "false") == "true"

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        text = self._text(name) or default
        if text not in choices:
            raise SettingsError(f"{name} is {text!r}: write one of {', '.join(choices)}")
        return text

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        number = self.number(name, default, least, most)
        if number != int(number):
            raise SettingsError(f"{name} is {self._text(name)!r}: write a whole number from {least} to {most}")
        return int(number)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        text = self._text(name)
        if not text:
            return default
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise SettingsError(f"{name} is {text!r}: write a number from {least:g} to {most:g}")
        return number
