"""Which session a name means."""

from pathlib import Path

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.simulator.sessions.channels import ChannelSession
from scanplane.simulator.sessions.corrections import CorrectedSession
from scanplane.simulator.sessions.files import DATA_DIRECTORY
from scanplane.simulator.sessions.interface import Session, SessionFileError
from scanplane.simulator.sessions.load import LoadSession
from scanplane.simulator.sessions.market import DEFAULT_EVENTS, MarketSession
from scanplane.simulator.sessions.recorded import RecordedSession
from scanplane.simulator.sessions.ticks import TickSession

__all__ = ["SESSION_NAMES", "choose_session"]

_CHANNEL_SESSIONS = {asset_class.value.lower(): asset_class for asset_class in AssetClass}

_SHIPPED = frozenset({"market", "ticks"})

SESSION_NAMES = ("ticks", "market", "load", *_CHANNEL_SESSIONS)
"""The sessions that need no recording."""


def choose_session(
    name: str,
    *,
    data: Path = DATA_DIRECTORY,
    events: int = DEFAULT_EVENTS,
    channels: tuple[Channel, ...] = (),
    rate: float = 10_000.0,
    symbols: int = 8000,
    seconds: float | None = None,
    frame_events: tuple[int, int] = (500, 500),
    corrections: float = 0.0,
    seed: int = 0,
) -> Session:
    """Return the session called *name*, or the recording at that path. No *channels* means the session's own.

    Raises SessionFileError where there is neither, or the session has no such channels.
    """
    if name in _SHIPPED and not data.is_dir():
        raise SessionFileError(f"the folder {data} is missing; run within a checkout, or name the data's folder")
    session: Session
    match name:
        case "market":
            session = MarketSession(data, events=events, channels=channels or (Channel.SECOND_AGGREGATES,), seed=seed)
        case "ticks":
            session = TickSession(
                data,
                trades=not channels or Channel.TRADES in channels,
                quotes=not channels or Channel.QUOTES in channels,
            )
        case "load":
            if len(channels) > 1:
                raise SessionFileError("the load session has one channel: Trades or SecondAggregates")
            session = LoadSession(
                rate=rate,
                symbols=symbols,
                channel=channels[0] if channels else Channel.TRADES,
                seconds=seconds,
                frame_events=frame_events,
                seed=seed,
            )
        case _ if name in _CHANNEL_SESSIONS:
            session = ChannelSession(_CHANNEL_SESSIONS[name], seconds=int(seconds or 20), seed=seed)
        case _ if Path(name).exists():
            session = RecordedSession(Path(name))
        case _:
            raise SessionFileError(f"no session and no recording is called {name}; try {', '.join(SESSION_NAMES)}")
    return CorrectedSession(session, corrections, seed=seed) if corrections else session
