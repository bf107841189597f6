"""Runs in the original's Python: how many events a second its listener gets confirmed by RabbitMQ.

Exercised as shipped: ``MassiveDataListener`` (start, async_task) with the provider's SDK client behind it, connected
to a WebSocket server in this process that offers frames without end, and ``MassiveDataQueues`` (setup_queues, connect,
handle_messages, _publish_message, WebSocketMessageSerde, QueueNameResolver) with its default of confirms on.
Counted are events whose publishing was awaited, in ``connection_status``. No telemetry exporter is set up.

Reads ``{"amqp_url", "seconds", "events_per_frame", "confirms"}`` from standard input.
"""

import asyncio
import json
import logging
import os
import sys
import time
from importlib.metadata import version

from kuhl_haus.mdp.components.massive_data_listener import MassiveDataListener
from kuhl_haus.mdp.components.massive_data_queues import MassiveDataQueues
from market import aggregate_frames
from massive.websocket.models import Market
from websockets.asyncio.server import ServerConnection, serve

_MESSAGE_TTL_MS = 5000
_WARM_UP_SECONDS = 1.0
_CLOSE_SECONDS = 0.1  # when it ends, the figure is taken
_QUEUE = "aggregate"


async def _offer(connection: ServerConnection, frames: list[str]) -> None:
    """Speak the provider's protocol up to the subscription, then send frames as fast as they are taken."""
    await connection.send('[{"ev":"status","status":"connected","message":"Connected Successfully"}]')
    await connection.recv()
    await connection.send('[{"ev":"status","status":"auth_success","message":"authenticated"}]')
    await connection.recv()
    while True:
        for frame in frames:
            await connection.send(frame)


async def _measure(amqp_url: str, seconds: float, events_per_frame: int, *, confirms: bool) -> dict[str, object]:
    frames = aggregate_frames(events_per_frame)
    setup = MassiveDataQueues(amqp_url, _MESSAGE_TTL_MS)
    await setup.setup_queues()
    await setup.shutdown()
    queues = MassiveDataQueues(amqp_url, _MESSAGE_TTL_MS, publisher_confirms=confirms)
    await queues.connect()
    offer = serve(
        lambda connection: _offer(connection, frames), "127.0.0.1", 0, compression=None, close_timeout=_CLOSE_SECONDS
    )
    async with offer as server:
        port = server.sockets[0].getsockname()[1]
        listener = MassiveDataListener(
            message_handler=queues.handle_messages,
            api_key="benchmark",
            feed=f"127.0.0.1:{port}",
            market=Market.Stocks,
            subscriptions=["A.*"],
            secure=False,
        )
        await listener.start()
        await asyncio.sleep(_WARM_UP_SECONDS)
        before, begun = queues.connection_status[_QUEUE], time.perf_counter()
        await asyncio.sleep(seconds)
        events, elapsed = queues.connection_status[_QUEUE] - before, time.perf_counter() - begun
        return {
            "events_per_second": events / elapsed,
            "events": events,
            "seconds": elapsed,
            "events_per_frame": events_per_frame,
            "versions": {name: version(name) for name in ("kuhl-haus-mdp", "aio-pika", "aiormq", "massive")},
            "python": sys.version.split()[0],
        }


async def _main() -> None:
    result = await _measure(**json.load(sys.stdin))
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    # Its orderly stop sleeps for seconds and asks a REST service; the figure is taken, nothing else matters.
    os._exit(0)


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    asyncio.run(_main())
