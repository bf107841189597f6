"""The baton: a token in a durable queue with a single active consumer. See ``docs/design/0003-baton.md``.

Two connections serve a candidate. One consumes the tokens and holds them unacknowledged: while it lives the broker gives them
to nobody else. It never publishes, so a broker that is short of memory, which blocks connections that publish, does not
take the baton from those who empty its queues. The other one publishes tokens.

A holder proves to itself that the broker still knows it: a request on the holding connection that was answered means that
the broker cannot take the connection for dead before two heartbeats after it was sent. Nearly that long without an
answer, and the baton is given up, before anybody else can get it.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from scanplane.broker.background import background
from scanplane.broker.interface import BrokerUnavailableError
from scanplane.broker.rabbitmq.connection import HEARTBEAT_S, Connector, Session
from scanplane.broker.rabbitmq.tokens import (
    SEED_GENERATION,
    Token,
    decode_token,
    encode_token,
    is_abandoned,
    last_memo,
    next_generation,
)
from scanplane.broker.rabbitmq.topology import baton_queue_name, declare_baton

__all__ = ["RabbitBaton", "hold_baton"]

_LOG = logging.getLogger(__name__)

_PROBE_INTERVAL_S = 1.0
_LEASE_S = 2 * HEARTBEAT_S - 2.0
_RELEASE_TIMEOUT_S = 3.0
_RECYCLE_S = 300.0
_PERSISTENT = 2


class TokenSender:
    """Publishes tokens on a connection of its own, opened again when it was lost."""

    def __init__(self, connector: Connector, name: str, queue: str) -> None:
        self._connector = connector
        self._name = name
        self._queue = queue
        self._session: Session | None = None

    async def publish(self, token: Token) -> None:
        """Publish and wait until the broker has it for good. Raises BrokerUnavailableError."""
        if self._session is None or self._session.lost.is_set():
            await self.close()
            self._session = await self._connector.open(f"baton {self._name} tokens", confirms=True)
        properties = Basic.Properties(delivery_mode=_PERSISTENT, content_type="application/msgpack")
        async with self._session.request() as channel:
            await channel.basic_publish(
                encode_token(token), routing_key=self._queue, properties=properties, mandatory=True
            )

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class RabbitBaton:
    """A candidate for a baton, and its holder once ``take`` has returned; see BatonHold."""

    def __init__(self, name: str, queue: str, holding: Session, tokens: "TokenSender") -> None:
        self._name = name
        self._queue = queue
        self._holding = holding
        self._sender = tokens
        self._tokens: dict[int, Token] = {}
        self._arrived = asyncio.Event()
        self._generation = 0
        self._memo_found = b""
        self._abandoned = False
        self._memo_left: bytes = b""
        self._lost = asyncio.Event()

    @property
    def generation(self) -> int:
        """Number of this holder."""
        return self._generation

    @property
    def memo(self) -> bytes:
        """What the last holder left."""
        return self._memo_found

    @property
    def abandoned(self) -> bool:
        """Whether the last holder vanished without a release."""
        return self._abandoned

    @property
    def lost(self) -> asyncio.Event:
        """Set when the baton was lost."""
        return self._lost

    def leave(self, memo: bytes) -> None:
        """Say what the next holder finds."""
        self._memo_left = memo

    def _on_loss(self) -> None:
        self._lost.set()

    async def _on_message(self, message: DeliveredMessage) -> None:
        delivery = message.delivery
        assert isinstance(delivery, Basic.Deliver)
        assert delivery.delivery_tag is not None
        token = decode_token(message.body)
        if token is None:
            _LOG.warning("a message in queue %s is no token and is removed", self._queue)
            token = Token(SEED_GENERATION, "")
        self._tokens[delivery.delivery_tag] = token
        self._arrived.set()

    async def _received(self, nonce: str) -> int:
        """Wait for the token *nonce* and return its tag."""
        while True:
            for tag, token in self._tokens.items():
                if token.nonce == nonce:
                    return tag
            self._arrived.clear()
            await self._arrived.wait()

    async def _discard_all_but(self, kept: int) -> None:
        """Acknowledge every token but the holder's."""
        others = [tag for tag in self._tokens if tag != kept]
        async with self._holding.request() as channel:
            for tag in others:
                await channel.basic_ack(tag, wait=False)
        for tag in others:
            del self._tokens[tag]

    async def take(self) -> None:
        """Wait until this candidate is the only active consumer, and claim. Raises BrokerUnavailableError."""
        self._holding.channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        async with self._holding.while_open():
            async with self._holding.request() as channel:
                await channel.basic_consume(self._queue, self._on_message)
            await self._sender.publish(Token(SEED_GENERATION, secrets.token_hex(8)))
            while not self._tokens:
                self._arrived.clear()
                await self._arrived.wait()
            claim = await self._claim()
            others = [token for tag, token in self._tokens.items() if tag != claim]
            self._memo_found, self._abandoned = last_memo(others), is_abandoned(others)
            await self._discard_all_but(claim)
        self._holding.watch(self._on_loss)

    async def _claim(self) -> int:
        while True:
            generation = next_generation(self._tokens.values(), time.time_ns() // 1_000_000)
            nonce = secrets.token_hex(8)
            await self._sender.publish(Token(generation, nonce))
            tag = await self._received(nonce)
            others = (token.generation for number, token in self._tokens.items() if number != tag)
            if max(others, default=0) < generation:
                self._generation = generation
                return tag

    def _on_cancelled(self, _frame: object) -> None:
        self._holding.lose(f"RabbitMQ removed queue {self._queue}, which held the baton {self._name}")

    async def prove(self) -> None:
        """Ask the broker again and again, and give the baton up when it has not answered for too long."""
        clock = asyncio.get_running_loop().time
        proven = clock()
        try:
            while True:
                asked = clock()
                async with asyncio.timeout_at(proven + _LEASE_S), self._holding.request(_LEASE_S) as channel:
                    await channel.queue_declare(self._queue, passive=True)
                proven = asked
                async with self._holding.while_open():
                    await asyncio.sleep(_PROBE_INTERVAL_S)
        except (BrokerUnavailableError, TimeoutError) as error:
            reason = str(error) or f"RabbitMQ has not answered for {_LEASE_S:.0f} s"
            _LOG.warning("the baton %s is lost: %s", self._name, reason)
            self._holding.lose(reason)
            self._lost.set()

    async def recycle(self, interval_s: float) -> None:
        """Renew the held token from time to time: the broker closes a channel that holds one delivery too long."""
        while not self._lost.is_set():
            await asyncio.sleep(interval_s)
            try:
                nonce = secrets.token_hex(8)
                async with self._holding.while_open():
                    await self._sender.publish(Token(self._generation, nonce))
                    await self._discard_all_but(await self._received(nonce))
            except BrokerUnavailableError as error:
                _LOG.warning("the token of baton %s could not be renewed: %s", self._name, error)

    async def release(self) -> None:
        """Hand the baton over with the memo; without one to be had, as a holder that vanished."""
        if self._lost.is_set():
            return
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                await self._sender.publish(
                    Token(self._generation, secrets.token_hex(8), released=True, memo=self._memo_left)
                )
        except (BrokerUnavailableError, TimeoutError) as error:
            _LOG.warning("the baton %s is released without its memo: %s", self._name, error)


@asynccontextmanager
async def hold_baton(
    connector: Connector, namespace: str, name: str, *, recycle_s: float = _RECYCLE_S
) -> AsyncIterator[RabbitBaton]:
    """Wait for the baton, hold it within the context, release it at its end. Raises BrokerUnavailableError."""
    queue = baton_queue_name(namespace, name)
    sender = TokenSender(connector, name, queue)
    try:
        async with connector.session(f"baton {name}") as holding:
            await declare_baton(holding, namespace, name)
            baton = RabbitBaton(name, queue, holding, sender)
            await baton.take()
            async with (
                background(baton.prove(), f"lease of baton {name}"),
                background(baton.recycle(recycle_s), f"renewal of baton {name}"),
            ):
                try:
                    yield baton
                finally:
                    await baton.release()
    finally:
        await sender.close()
