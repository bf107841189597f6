"""kopf at the rim: it watches, and every event of it only wakes the loop of its namespace.

Of kopf's traps this leaves none: no handler of ours changes, retries or finalizes an object, so there are no annotations of
progress, no finalizers, no status fields by handler name, and nothing to lose when a patch races. Batching, sleeping watches
and reconnects are kopf's.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import kopf

from scanplane.resources.common import API_GROUP
from scanplane.resources.kinds import KINDS
from scanplane_operator.names import FIELD_MANAGER, MANAGED_BY
from scanplane_operator.news import ResourceNews
from scanplane_operator.observed import CHILD_KINDS

__all__ = ["make_registry", "make_settings", "quiet_kopf"]


class _Wake(Protocol):
    def __call__(self, namespace: str, *, is_edit: bool = False) -> None: ...


class _NothingCompared(kopf.DiffBaseStorage):
    """What kopf compares objects by: nothing. By default it copies the object of every event several times, for handlers of
    a kind that we do not have.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002  # kopf's words
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002  # kopf's words
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing on the object."""


def make_registry(wake: _Wake, child_kinds: Iterable[str], end: Callable[[], object]) -> kopf.OperatorRegistry:
    """Return kopf's handlers: our kinds, and those children that carry our label; *end* is called when kopf ends."""
    registry = kopf.OperatorRegistry()
    news = ResourceNews()

    async def resource_seen(namespace: str | None, type: str | None, body: kopf.Body, **_: object) -> None:  # noqa: A002  # kopf's word
        if news.is_news(type, body):
            wake(namespace or "", is_edit=True)

    async def child_seen(namespace: str | None, **_: object) -> None:
        wake(namespace or "")

    async def log_in(settings: kopf.OperatorSettings, **_: object) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)

    async def ended(**_: object) -> None:
        end()  # kopf waits for every task that began after it, ours too

    kopf.on.login(registry=registry)(log_in)
    kopf.on.cleanup(registry=registry)(ended)
    for info in KINDS.values():
        kopf.on.event(API_GROUP, "v1alpha1", info.plural, registry=registry)(resource_seen)
    for kind in child_kinds:
        child = CHILD_KINDS[kind]
        group, _, version = child.api_version.rpartition("/")
        kopf.on.event(group, version, child.plural, labels={MANAGED_BY: FIELD_MANAGER}, registry=registry)(child_seen)
    return registry


def make_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no events of its own, no scan of the cluster, and no giving up on the API server.

    Children are selected by the API server: kopf's own filter would have every ConfigMap of the cluster sent to us first.
    """
    settings = kopf.OperatorSettings()
    for child in CHILD_KINDS.values():
        group, _, version = child.api_version.rpartition("/")
        settings.watching.label_selectors[group, version, child.plural] = f"{MANAGED_BY}={FIELD_MANAGER}"
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _NothingCompared()
    settings.networking.error_backoffs = _for_ever()
    settings.watching.inactivity_timeout = 70.0
    settings.queueing.idle_timeout = 0.05  # a thousand objects are not a thousand tasks for seconds after each list
    settings.queueing.exit_timeout = 0.2  # nothing is lost with an event that only wakes
    settings.process.ultimate_exiting_timeout = 10.0
    return settings


def quiet_kopf() -> None:
    """Let kopf say what is a warning and new: not each try of each watch while the API server is away."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf._cogs.clients.watching").addFilter(_refusals_once())


def _refusals_once() -> Callable[[logging.LogRecord], bool]:
    """Return a filter: of tries that failed those pass that the API server refused, each once.

    That nobody answers is told by the passes, which fail as well; what a watch alone is refused is told by nobody else.
    """
    told: set[str] = set()

    def is_news(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "will retry" not in message:
            return True
        what, _, error = message.partition(": ")[2].partition(" -> ")
        path = what.partition("?")[0]
        if not error.startswith(("APIForbiddenError", "APIUnauthorizedError")) or path in told:
            return False
        told.add(path)
        record.msg, record.args = "the API server refuses to let us watch: %s: %s; trying again", (path, error[:300])
        return True

    return is_news


class _for_ever:  # noqa: N801  # reads as a value
    """Pauses between tries, in seconds, without an end: kopf iterates anew for each request."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause
            pause = min(10.0, pause * 2)
