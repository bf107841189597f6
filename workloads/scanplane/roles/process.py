"""What a pod runs: one role in a process of its own, from its configuration file to its exit code.

The order is chosen for who has to read a failure: the configuration and the port are tried first, so that bad input
is said in one line before anything is connected. Signals are caught before all of it. Nothing here knows a
particular role: the command line passes the function that makes one.

Exit codes: 0 ended as asked or finished its work, 2 bad input, 1 failed, 130 a second signal.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from scanplane import __version__
from scanplane.broker.factory import open_broker
from scanplane.broker.interface import BrokerUnavailableError
from scanplane.cache.factory import open_cache
from scanplane.cache.interface import CacheUnavailableError
from scanplane.plan.configuration import (
    GatewayConfiguration,
    RoleConfiguration,
    SecretKey,
    configuration_hash,
    decode_configuration,
    role_of,
)
from scanplane.roles.event_loop import new_event_loop
from scanplane.roles.interface import ReportsProgress, Role, RoleInputError, RoleServices, SecretMissingError, Secrets
from scanplane.roles.publishing import StatusPublisher
from scanplane.roles.secrets import DirectorySecrets
from scanplane.roles.signals import StopSignals, catch_stop_signals
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.lag import LagProbe
from scanplane.telemetry.listening import EVERY_INTERFACE, ListenError, bind
from scanplane.telemetry.logs import LogStyle, configure_logging, flush_logging, with_fields
from scanplane.telemetry.redaction import redact
from scanplane.telemetry.server import Check, Probes, serve_probes
from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry

__all__ = ["EXIT_BAD_INPUT", "EXIT_FAILED", "EXIT_OK", "MakeRole", "ProcessSettings", "run_role_process"]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

_GRACE_SECONDS = 28.0
_CLOSE_SECONDS = 3.0
_LONGEST_SILENCE_NS = 10_000_000_000

MakeRole = Callable[[RoleConfiguration, RoleServices, Telemetry], Role]


class ProcessSettings(Struct, frozen=True, kw_only=True):
    """What a role process is told on its command line.

    ``files`` is the folder that relative paths in the configuration start from; ``status_port`` 0 takes a free port.
    """

    configuration: Path
    secrets: Path
    files: Path = Path()
    status_host: str = EVERY_INTERFACE  # the kubelet and Prometheus ask from outside of the pod
    status_port: int = 9464
    log_style: LogStyle = LogStyle.AUTO


class _StuckError(Exception):
    """The role did not end in time after it was asked to."""


def run_role_process(settings: ProcessSettings, make_role: MakeRole) -> int:
    """Run one role until it ends or a signal asks it to; return the exit code. Call it from the main thread."""
    signals = catch_stop_signals()
    role_name = "role"
    try:
        configuration = _read_configuration(settings.configuration)
        role_name = configuration.name
        configure_logging(configuration.services.log_level, settings.log_style)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_live(settings, configuration, make_role, signals))
    except (RoleInputError, SecretMissingError) as error:
        return _say(role_name, error, EXIT_BAD_INPUT)
    except (BrokerUnavailableError, CacheUnavailableError, ListenError, _StuckError) as error:
        return _say(role_name, error, EXIT_FAILED)
    except Exception as error:
        logging.getLogger("scanplane.roles").exception("%s failed: %s", role_name, type(error).__name__)
        return EXIT_FAILED
    else:
        return EXIT_OK
    finally:
        flush_logging()


def _say(name: str, error: Exception, code: int) -> int:
    """Tell an expected error in one line, in the log if it is set up."""
    text = redact(str(error))
    log = logging.getLogger("scanplane.roles")
    if log.hasHandlers():
        log.error("%s", text, extra={"instance": name})
    else:
        sys.stderr.write(f"scanplane: {text}\n")
    return code


def _read_configuration(path: Path) -> RoleConfiguration:
    """Read a configuration. Raises RoleInputError that says what is wrong with the file."""
    try:
        return decode_configuration(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise RoleInputError(f"can't read the configuration {path}: {reason}") from error
    except msgspec.DecodeError as error:
        raise RoleInputError(f"{path} is no role configuration: {error}") from error


async def _live(
    settings: ProcessSettings, configuration: RoleConfiguration, make_role: MakeRole, signals: StopSignals
) -> None:
    """Open everything that the role needs, run it, and close everything in reverse."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    services = configuration.services
    log = with_fields(logging.getLogger("scanplane.roles"), role=role_of(configuration), instance=configuration.name)
    async with AsyncExitStack() as stack:
        signals.tell(lambda: loop.call_soon_threadsafe(stop.set))
        stack.callback(signals.forget)
        listener = stack.enter_context(bind(settings.status_host, settings.status_port))
        secrets = DirectorySecrets(settings.secrets)
        telemetry = stack.enter_context(start_telemetry(_telemetry_settings(configuration)))
        broker = open_broker(_url(secrets, services.broker_url), services.namespace)
        stack.push_async_callback(_bounded, broker.close)
        cache = open_cache(_url(secrets, services.cache_url), services.namespace)
        stack.push_async_callback(_bounded, cache.close)
        role_services = RoleServices(broker=broker, cache=cache, secrets=secrets, files=settings.files)
        role = make_role(configuration, role_services, telemetry)
        telemetry.register_role(role)
        lag = telemetry.latency(
            "event_loop_lag", "How late the event loop runs timers.", role=role_of(configuration), instance=role.name
        )
        probe = LagProbe(lag)
        server = await stack.enter_async_context(serve_probes(listener, _probes(role, probe, telemetry)))
        publisher = StatusPublisher(cache, services.namespace, role, replica=_replica(configuration))
        extra = {"version": __version__, "status_port": server.port, "configuration": configuration_hash(configuration)}
        log.info("%s starts", role.name, extra=extra)
        async with TaskScope() as scope:
            scope.accompany(probe.run(), "lag probe")
            scope.accompany(publisher.run(), "status publisher")
            scope.accompany(_sample(telemetry), "metrics sampler")
            scope.accompany(_watch_grace(role.name, stop), "grace watch")
            await scope.run(role.run(stop), role.name)
        await publisher.finish()
        log.info("%s has ended", role.name)


async def _sample(telemetry: Telemetry) -> None:
    """Take the roles' figures for OTLP exports, which run in a thread of their own."""
    while True:
        telemetry.sample()
        await asyncio.sleep(1)


async def _watch_grace(name: str, stop: asyncio.Event) -> None:
    await stop.wait()
    await asyncio.sleep(_GRACE_SECONDS)
    raise _StuckError(f"{name} did not end within {_GRACE_SECONDS:g} s after it was asked to")


async def _bounded(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Close a connection; one that does not answer any more is left to the end of the process."""
    with contextlib.suppress(TimeoutError, BrokerUnavailableError, CacheUnavailableError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await close()


def _url(secrets: Secrets, key: SecretKey | None) -> str | None:
    return None if key is None else secrets.read(key)


def _replica(configuration: RoleConfiguration) -> str | None:
    """Return what tells this process apart from others of its instance that may work at the same time."""
    return socket.gethostname() if isinstance(configuration, GatewayConfiguration) else None


def _telemetry_settings(configuration: RoleConfiguration) -> TelemetrySettings:
    services = configuration.services
    return TelemetrySettings(
        service_name=f"scanplane-{role_of(configuration)}",
        instance=configuration.name,
        namespace=services.namespace,
        otlp_endpoint=services.otlp_endpoint,
        trace_ratio=services.trace_ratio,
        export_interval_ns=services.export_interval_ns,
    )


def _probes(role: Role, probe: LagProbe, telemetry: Telemetry) -> Probes:
    def live() -> list[Check]:
        turns = probe.silent_ns <= _LONGEST_SILENCE_NS
        recent = probe.histogram.recent()
        checks = [
            Check(
                "event loop",
                turns,
                f"last turned {probe.silent_ns / 1e9:.1f} s ago, at most {recent.max_ns / 1e6:.0f} ms late",
            )
        ]
        stalled = role.stalled() if isinstance(role, ReportsProgress) else ()
        checks.append(Check("progress", not stalled, "; ".join(stalled) or "every promised loop makes progress"))
        return checks

    def ready() -> list[Check]:
        phase = role.status().phase
        return [Check("role", role.standby.is_set(), f"{role.name} is {phase.value.lower()}")]

    return Probes(
        live=live,
        ready=ready,
        status=lambda: msgspec.json.encode(role.status()),
        sample=telemetry.sample,
        metrics_text=telemetry.prometheus_text,
    )
