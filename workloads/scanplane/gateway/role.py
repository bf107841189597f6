"""The gateway as a role: it follows the cache and serves clients. It holds no baton: several may serve side by side."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette

from scanplane.gateway.api import Api, ApiSources
from scanplane.gateway.following import CacheFollower
from scanplane.gateway.hub import Hub
from scanplane.gateway.publishing import Publisher
from scanplane.gateway.quotes import QuotePoller
from scanplane.gateway.server import GatewayServer, open_listener
from scanplane.gateway.session import SessionRules
from scanplane.gateway.stream import Stream
from scanplane.gateway.tokens import TokenError, Tokens
from scanplane.gateway.view import View
from scanplane.plan.configuration import GatewayConfiguration, configuration_hash
from scanplane.roles.interface import RoleInputError, RoleServices
from scanplane.roles.lifecycle import Lifecycle, LifecycleRole
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.listening import EVERY_INTERFACE
from scanplane.telemetry.setup import Telemetry
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["Gateway"]


class Gateway(LifecycleRole):
    """One gateway, made from one configuration; see :class:`scanplane.roles.interface.Role`.

    *host* is the address to listen on, every interface if left out. *metrics* returns what ``/metrics`` answers; without it the
    path answers 404 and names the status port of the process, where they are. Raises RoleInputError and SecretMissingError where
    the tokens' Secret can't serve.
    """

    def __init__(
        self,
        configuration: GatewayConfiguration,
        services: RoleServices,
        telemetry: Telemetry,
        *,
        host: str = EVERY_INTERFACE,
        metrics: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        super().__init__(
            Lifecycle(role="gateway", instance=configuration.name, configuration=configuration_hash(configuration))
        )
        self._configuration = configuration
        self._services = services
        self._telemetry = telemetry
        self._host = host
        self._metrics = metrics
        self._latency = telemetry.latency(
            "receipt_to_gateway",
            "From the receipt of the newest event behind a board to the board at the gateway.",
            role="gateway",
            instance=configuration.name,
        )
        self._hub = Hub(time.monotonic_ns)
        self._view = View()
        self._publisher = Publisher(
            self._view,
            self._hub,
            max_updates_per_second=configuration.max_updates_per_second,
            receipt_to_gateway=self._latency,
            traces=telemetry.traces,
        )
        self._tokens = self._read_tokens()
        rules = SessionRules(
            tokens=self._tokens,
            max_client_bytes=configuration.max_client_bytes,
            max_updates_per_second=configuration.max_updates_per_second,
            started_ns=time.time_ns(),
            problem=lambda: self._publisher.problem,
        )
        self._stream = Stream(self._hub, rules, configuration.max_clients)
        namespace = configuration.services.namespace
        self._follower = CacheFollower(services.cache, namespace, self._view, self._publisher, self._connection_changed)
        self._quotes = QuotePoller(
            services.cache,
            namespace,
            self._hub,
            self._publisher.judge_quote,
            configuration.max_updates_per_second,
        )
        self._api = Api(self._api_sources())
        self._server: GatewayServer | None = None
        self._last_deliveries = (time.monotonic(), 0)
        self._rate = 0.0

    @property
    def stream(self) -> Stream:
        """The clients of the stream."""
        return self._stream

    @property
    def application(self) -> Starlette:
        """The HTTP endpoints."""
        return self._api.application

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before it does."""
        return self._server.port if self._server is not None else 0

    @property
    def url(self) -> str:
        """Where a program on the same machine finds it."""
        host = self._host if self._host not in {EVERY_INTERFACE, "0.0.0.0"} else "127.0.0.1"  # noqa: S104  # compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until *stop* is set. Raises ListenError where the port is taken."""
        server = self._server = GatewayServer(
            open_listener(self._host, self._configuration.port), self.application, self._stream
        )
        self._lifecycle.log.info("gateway listens on port %d", server.port, extra={"port": server.port})
        try:
            async with TaskScope() as scope:
                scope.accompany(self._follower.run(), "cache follower")
                scope.accompany(self._publisher.run(), "publisher")
                scope.accompany(self._quotes.run(), "quotes")
                scope.accompany(self._stream.keep_house(), "stream housekeeping")
                scope.accompany(self._drain_when(stop, server), "drain")
                await scope.run(server.run(), "server")
        finally:
            self._lifecycle.end()
            self._telemetry.forget_latency(self._latency)

    async def _drain_when(self, stop: asyncio.Event, server: GatewayServer) -> None:
        await stop.wait()
        self._lifecycle.drain()
        server.stop()

    def status(self) -> RoleStatus:
        """The figures of this moment."""
        stream, hub, api, follower = self._stream.counts, self._hub.counts, self._api.counts, self._follower.counts
        figures: dict[str, float] = {
            "clients": len(self._stream.connections),
            "subscriptions": self._hub.subscriptions,
            "boards": len(self._view.board_keys()),
            "topics": len(self._hub.topics),
            "deliveries_per_second": self._deliveries_per_second(),
            "deliveries_total": stream.deliveries,
            "delivered_bytes_total": stream.delivered_bytes,
            "updates_published_total": hub.published,
            "updates_from_cache_total": follower.updates,
            "updates_malformed_total": follower.malformed + self._quotes.malformed,
            "updates_conflated_total": stream.conflated + self._conflated_now() + self._publisher.schedule.replaced,
            "clients_accepted_total": stream.accepted,
            "clients_refused_full_total": stream.refused_full,
            "clients_refused_unauthorized_total": stream.refused_unauthorized + stream.dropped_unauthorized,
            "clients_refused_other_total": stream.refused_other,
            "clients_dropped_slow_total": stream.dropped_slow,
            "clients_dropped_silent_total": stream.dropped_silent,
            "clients_dropped_policy_total": stream.dropped_policy,
            "topics_refused_total": hub.topics_refused + self._view.refused + self._quotes.refused,
            "http_requests_total": api.requests,
            "http_unauthorized_total": api.unauthorized,
            "http_errors_total": api.errors,
            "cache_losses_total": follower.losses,
            **self._latency.figures(),
        }
        return self._lifecycle.status(figures)

    def _conflated_now(self) -> int:
        return sum(connection.session.outbox.conflated for connection in self._stream.connections)

    def _deliveries_per_second(self) -> float:
        """Return the rate since about a second ago; asked more often it gives the same answer."""
        then, count = self._last_deliveries
        now = time.monotonic()
        if now - then >= 1.0:
            self._rate = (self._stream.counts.deliveries - count) / (now - then)
            self._last_deliveries = (now, self._stream.counts.deliveries)
        return round(self._rate, 1)

    def _connection_changed(self, problem: str) -> None:
        has_changed = bool(problem) != bool(self._publisher.problem)
        self._publisher.problem = problem
        if problem:
            self._lifecycle.report_problem("cache", problem)
        else:
            self._lifecycle.clear_problem("cache")
            if self._lifecycle.phase is Phase.STARTING:
                self._lifecycle.activate()
        if has_changed:
            self._stream.tell_lag()

    def _read_tokens(self) -> Tokens:
        name = self._configuration.tokens_secret
        if name is None:
            return Tokens(None)
        try:
            return Tokens(self._services.secrets.read_all(name), source=f"secret {name!r}")
        except TokenError as error:
            raise RoleInputError(str(error)) from error

    def _api_sources(self) -> ApiSources:
        return ApiSources(
            view=self._view,
            hub=self._hub,
            publisher=self._publisher,
            cache=self._services.cache,
            namespace=self._configuration.services.namespace,
            tokens=self._tokens,
            status=self.status,
            is_ready=self.standby.is_set,
            clients=self._stream.clients_by_name,
            metrics=self._metrics,
        )
