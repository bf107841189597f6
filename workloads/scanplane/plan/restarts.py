"""Why a role restarts: one enum, used in events, logs, annotations and on the terminal alike."""

import enum

from msgspec import Struct

from scanplane.plan.configuration import RoleConfiguration, secrets_of

__all__ = ["Restart", "RestartReason", "explain_restart"]


class RestartReason(enum.StrEnum):
    """What changed. Written the same wherever a restart is told of."""

    DATA_PLANE_CHANGED = "DataPlaneChanged"
    FEED_CHANGED = "FeedChanged"
    MARKET_CHANGED = "MarketChanged"
    SUBSCRIPTION_CHANGED = "SubscriptionChanged"
    SCANNER_CHANGED = "ScannerChanged"
    CREDENTIALS_ROTATED = "CredentialsRotated"
    IMAGE_CHANGED = "ImageChanged"
    CONFIGURATION_CHANGED = "ConfigurationChanged"


class Restart(Struct, frozen=True):
    """The reasons of one restart, and the resources behind them as ``Scanner/top-gainers edited``."""

    reasons: tuple[RestartReason, ...]
    causes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.reasons)} ({', '.join(self.causes)})" if self.causes else ", ".join(self.reasons)


def explain_restart(old: RoleConfiguration, new: RoleConfiguration) -> Restart:
    """Say why *new* takes the place of *old*; both belong to the same instance and differ."""
    causes: list[str] = []
    kinds: set[str] = set()
    for source in sorted(old.sources.keys() | new.sources.keys()):
        if old.sources.get(source) == new.sources.get(source):
            continue
        change = "added" if source not in old.sources else "removed" if source not in new.sources else "edited"
        causes.append(f"{source} {change}")
        kinds.add(source.partition("/")[0])
    reasons = [reason for reason in RestartReason if reason.removesuffix("Changed") in kinds]
    if old.credentials_digest != new.credentials_digest and secrets_of(old) == secrets_of(new):
        reasons.append(RestartReason.CREDENTIALS_ROTATED)
    return Restart(tuple(reasons) or (RestartReason.CONFIGURATION_CHANGED,), tuple(causes))
