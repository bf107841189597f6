"""The trading calendars that a Market may name: those of exchange_calendars, as a table, because importing that library
takes longer than a whole plan. A test keeps the table in step with the library.
"""

from scanplane.marketdata.channels import AssetClass
from scanplane.plan.acceptance import Judgement
from scanplane.plan.configuration import SessionHours
from scanplane.plan.inventory import Reason
from scanplane.resources.market import Market, Sessions

__all__ = ["CALENDARS", "check_hours", "hours_of"]

# fmt: off
CALENDARS: dict[str, tuple[int, int]] = {
    "24/5": (0, 1440), "24/7": (0, 1440), "AIXK": (660, 1020), "ARCX": (570, 960),
    "ASX": (600, 960), "BATS": (570, 960), "BMF": (600, 1080), "BSE": (555, 930),
    "BVMF": (600, 1080), "CBOT": (-420, 1020), "CFE": (510, 915), "CME": (-420, 1020),
    "CMES": (-420, 1020), "COMEX": (-420, 1020), "FWB": (540, 1050), "HKEX": (570, 960),
    "ICE": (-240, 1080), "ICEUS": (-240, 1080), "IEPA": (-240, 1080), "JKT": (540, 950),
    "JPX": (540, 930), "LSE": (480, 990), "LUXSE": (540, 1060), "NASDAQ": (570, 960),
    "NYFE": (-240, 1080), "NYMEX": (-420, 1020), "NYSE": (570, 960), "OOTC": (570, 960),
    "OSE": (540, 980), "SIX": (540, 1050), "SSE": (570, 900), "TSX": (570, 960),
    "XAMS": (540, 1050), "XASE": (570, 960), "XASX": (600, 960), "XBDA": (540, 990),
    "XBKK": (600, 990), "XBOG": (570, 960), "XBOM": (555, 930), "XBRA": (660, 930),
    "XBRU": (540, 1050), "XBUD": (540, 1020), "XBUE": (660, 1020), "XCBF": (510, 915),
    "XCSE": (540, 1020), "XDUB": (480, 988), "XDUS": (480, 1320), "XEEE": (480, 1080),
    "XETR": (540, 1050), "XEUR": (480, 1320), "XFRA": (540, 1050), "XHAM": (480, 1320),
    "XHEL": (600, 1110), "XHKG": (570, 960), "XICE": (570, 930), "XIDX": (540, 950),
    "XIST": (600, 1080), "XJSE": (540, 1020), "XKAR": (572, 930), "XKLS": (540, 1020),
    "XKRX": (540, 990), "XLIM": (540, 960), "XLIS": (480, 990), "XLIT": (600, 960),
    "XLJU": (555, 915), "XLON": (480, 990), "XLUX": (540, 1060), "XMAD": (540, 1050),
    "XMEX": (510, 900), "XMIL": (540, 1050), "XMOS": (600, 1125), "XNAS": (570, 960),
    "XNYS": (570, 960), "XNZE": (600, 1005), "XOSL": (540, 980), "XPAR": (540, 1050),
    "XPHS": (570, 930), "XPRA": (540, 980), "XRIS": (600, 960), "XSAU": (600, 900),
    "XSES": (540, 1020), "XSGO": (570, 1020), "XSHG": (570, 900), "XSTO": (540, 1050),
    "XSTU": (450, 1320), "XSWX": (540, 1050), "XTAI": (540, 810), "XTAL": (600, 960),
    "XTKS": (540, 930), "XTSE": (570, 960), "XTSX": (570, 960), "XWAR": (540, 1020),
    "XWBO": (540, 1050), "XZAG": (540, 960), "us_futures": (-360, 1080),
}
# fmt: on
"""Of each calendar its earliest open and latest close on any day, early closes aside, in minutes from the day's midnight,
exchange local time: an open on the evening before is negative. Calendars that the library itself can't load are left out.
"""

_DAY = 24 * 60
_EXCHANGE_TRADED = frozenset({AssetClass.STOCKS, AssetClass.OPTIONS, AssetClass.INDICES})


def hours_of(market: Market) -> SessionHours:
    """Return the calendar of *market*, its own or that of its asset class, and its extended hours."""
    sessions = market.spec.sessions or Sessions()
    default = "XNYS" if market.spec.asset_class in _EXCHANGE_TRADED else "24/7"
    return SessionHours(
        calendar=market.spec.calendar or default, premarket=sessions.premarket, postmarket=sessions.postmarket
    )


def check_hours(market: Market, judgement: Judgement) -> None:
    """Check that there is the Market's calendar, and that its extended hours lie around the regular ones on every day."""
    hours = hours_of(market)
    if hours.calendar not in CALENDARS:
        judgement.refuse(
            Reason.UNKNOWN_CALENDAR,
            "spec.calendar",
            f"there is no calendar '{hours.calendar}': write an exchange's MIC such as XNYS, or 24/7",
        )
        return
    opens, closes = CALENDARS[hours.calendar]
    if hours.premarket is not None and _minutes(hours.premarket) > opens:
        instead = f"write {_clock(opens)} or earlier" if opens > 0 else "leave it out"
        _refuse(judgement, "premarket", f"{hours.premarket} is after the open of {hours.calendar}: {instead}")
    if hours.postmarket is None:
        return
    next_open = _DAY + min(opens, 0)
    between = f"write {_clock(closes)} " + (f"to {_clock(next_open)}" if next_open < _DAY else "or later")
    instead = between if closes < next_open else "leave it out"
    if _minutes(hours.postmarket) < closes:
        _refuse(judgement, "postmarket", f"{hours.postmarket} is before the close of {hours.calendar}: {instead}")
    elif _minutes(hours.postmarket) > next_open:
        _refuse(judgement, "postmarket", f"{hours.postmarket} is after the next open of {hours.calendar}: {instead}")


def _refuse(judgement: Judgement, session: str, message: str) -> None:
    judgement.refuse(Reason.CONFLICTING_SESSIONS, f"spec.sessions.{session}", message)


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
