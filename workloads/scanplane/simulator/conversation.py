"""The provider's side of the talk with one client: greeting, key, topics."""

import asyncio
import hmac

import msgspec
from websockets.exceptions import ConnectionClosed

from scanplane.feeds.massive.messages import Action, StatusMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator import statuses
from scanplane.simulator.accounting import ConnectionBook
from scanplane.simulator.audience import Audience
from scanplane.simulator.client import Client, Dismissal
from scanplane.simulator.settings import Authentication, Eviction, SimulatorSettings
from scanplane.simulator.topics import ANY, Topic, parse_topic

__all__ = ["Conversation"]

_POLICY_VIOLATION = 1008
_OPTION_QUOTES = 1000
_DECODER = msgspec.json.Decoder(Action)


class Conversation:
    """What is said to and asked by one client until it is gone."""

    def __init__(self, client: Client, audience: Audience, book: ConnectionBook, settings: SimulatorSettings) -> None:
        self._client = client
        self._audience = audience
        self._book = book
        self._settings = settings

    async def run(self) -> None:
        """Greet, check the key, answer requests until the client goes."""
        await self._client.tell(statuses.CONNECTED)
        try:
            async with asyncio.timeout(self._settings.authentication_timeout_s):
                accepted = await self._authenticate()
        except TimeoutError:
            await self._turn_away(statuses.AUTHENTICATION_TIMED_OUT, "authentication timed out")
            return
        except ConnectionClosed:
            return
        if not accepted:
            self._book.authentication_failures += 1
            await self._turn_away(statuses.AUTHENTICATION_FAILED, "authentication failed")
            return
        try:
            while True:
                await self._answer(await self._next_request())
        except ConnectionClosed:
            return

    async def _next_request(self) -> Action:
        while True:
            text = await self._client.connection.recv()
            try:
                return _DECODER.decode(text)
            except msgspec.DecodeError:
                await self._client.tell(statuses.NOT_JSON)

    async def _authenticate(self) -> bool:
        while True:
            request = await self._next_request()
            if request.action == "auth" and self._settings.authentication is not Authentication.TIME_OUT:
                break
        expected = self._settings.api_key
        if self._settings.authentication is Authentication.REFUSE or not (
            expected is None or hmac.compare_digest(request.params.encode(), expected.encode())
        ):
            return False
        await self._client.tell(statuses.AUTHENTICATED)
        self._client.authenticated = True
        self._client.entry.authenticated_ns = self._book.clock_ns()
        if not self._settings.limit_after_subscribe:
            self._enforce_limit()
        return True

    async def _turn_away(self, status: StatusMessage, why: str) -> None:
        await self._client.tell(status)
        self._client.entry.ended_by = why
        await self._client.connection.close(_POLICY_VIOLATION, why)

    def _enforce_limit(self) -> None:
        limit = self._settings.connection_limit
        clients = self._audience.authenticated
        if limit is not None and len(clients) > limit:
            victim = clients[0] if self._settings.evict is Eviction.OLDEST else self._client
            self._book.evicted += 1
            victim.dismiss(Dismissal("connection limit", statuses.MAX_CONNECTIONS, _POLICY_VIOLATION))

    async def _answer(self, request: Action) -> None:
        if request.action == "subscribe":
            accepted, answers = self._judge(request.params)
            await self._client.tell(*answers)
            for topic in accepted:
                self._client.subscriptions.add(topic)
            if self._settings.limit_after_subscribe:
                self._enforce_limit()
        elif request.action == "unsubscribe":
            await self._unsubscribe(request.params)
        else:
            return
        self._client.entry.topics = len(self._client.subscriptions.topics)
        self._audience.note_change()

    def _judge(self, params: str) -> tuple[list[Topic], list[StatusMessage]]:
        accepted: list[Topic] = []
        answers: list[StatusMessage] = []
        quotes = self._client.subscriptions.count("Q")
        for text in params.split(","):
            topic = parse_topic(text, self._client.asset_class)
            if topic is None:
                continue
            name = text.strip()
            if topic.event_type in self._settings.unentitled:
                answers.append(statuses.not_authorized(name))
                continue
            if self._client.asset_class is AssetClass.OPTIONS and topic.event_type == "Q":
                if topic.symbol == ANY or quotes == _OPTION_QUOTES:
                    answers.append(statuses.TOO_MANY_QUOTES)
                    continue
                quotes += 1
            accepted.append(topic)
            answers.append(statuses.subscribed(name))
        return accepted, answers

    async def _unsubscribe(self, params: str) -> None:
        answers = []
        for text in params.split(","):
            topic = parse_topic(text, self._client.asset_class)
            if topic is not None:
                self._client.subscriptions.remove(topic)
                answers.append(statuses.unsubscribed(text.strip()))
        await self._client.tell(*answers)
