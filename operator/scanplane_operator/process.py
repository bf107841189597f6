"""The operator as a process: settings, connections, loops, kopf, probes, and a clean end."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import aiohttp
import kopf
import msgspec

from scanplane import __version__
from scanplane.resources.common import API_VERSION
from scanplane.resources.kinds import KINDS
from scanplane.roles.backoff import Backoff
from scanplane.telemetry.listening import EVERY_INTERFACE, ListenError, bind
from scanplane.telemetry.logs import configure_logging, flush_logging
from scanplane.telemetry.server import Probes, serve_probes
from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane_operator.api import Api, ApiError, ApiUnavailableError, connect
from scanplane_operator.definitions import OPENAPI_PATH, outdated
from scanplane_operator.handlers import make_registry, make_settings, quiet_kopf
from scanplane_operator.liveness import Heart
from scanplane_operator.loops import NamespaceLoops
from scanplane_operator.metrics import OperatorMetrics
from scanplane_operator.observed import CHILD_KINDS
from scanplane_operator.observing import Observer
from scanplane_operator.reconcile import Reconciler
from scanplane_operator.reports import Reporter
from scanplane_operator.settings import Settings, SettingsError, read_settings

__all__ = ["main", "run_operator"]

_LOG = logging.getLogger("scanplane.operator")

PUBLISHED_WITHIN_S = 10.0
"""The API server serves new definitions some seconds before its OpenAPI tells of them."""
_WAY_TO_DEFINITIONS = "helm with crds.enabled=true, or kubectl apply --server-side -f crds/"


def main() -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code: 2 for settings that make no sense."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"scanplane-operator: {error}\n")
        return 2
    configure_logging(settings.log_level.value)
    quiet_kopf()
    try:
        asyncio.run(_until_signal(settings))
    except (ListenError, ApiUnavailableError) as error:
        _LOG.error("%s", error)  # its text is all there is to say
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        flush_logging()
    return 0


async def _until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_operator(settings, stop)
    logging.getLogger("asyncio").setLevel(
        logging.CRITICAL
    )  # kopf leaves the end of its watches to that of the event loop


async def run_operator(settings: Settings, stop: asyncio.Event) -> None:
    """Run the operator until *stop* is set. Raises ListenError, ApiUnavailableError."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(bind(EVERY_INTERFACE, settings.status_port, option="SCANPLANE_STATUS_PORT"))
        api = await stack.enter_async_context(connect())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        telemetry = stack.enter_context(start_telemetry(_telemetry_settings()))
        observer, reporter = Observer(api, _made_kinds(settings)), Reporter(session)
        reconciler = Reconciler(api, observer, reporter, settings.pods, socket.gethostname())
        loops = NamespaceLoops(settings, reconciler, observer, reporter)
        loops.pass_listeners.append(OperatorMetrics(telemetry.meter, loops, api.writes).hear)
        probe = Heart(loops, settings)
        await stack.enter_async_context(serve_probes(listener, _probes(probe, loops, telemetry)))
        _LOG.info("operator starts", extra=_told(settings))
        await _work(api, loops, probe, settings, stop)
        _LOG.info("operator has ended; what it made goes on")


async def _work(api: Api, loops: NamespaceLoops, probe: Heart, settings: Settings, stop: asyncio.Event) -> None:
    """Run everything until *stop*; if one part ends by itself, all of it does."""
    parts = [
        asyncio.create_task(_serve(api, loops, probe, settings, stop), name="watches and loops"),
        asyncio.create_task(probe.beat(), name="heartbeat"),
        asyncio.create_task(stop.wait(), name="stop"),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def _serve(api: Api, loops: NamespaceLoops, probe: Heart, settings: Settings, stop: asyncio.Event) -> None:
    await _wait_for_resources(api)
    probe.started = True
    async with asyncio.TaskGroup() as group:
        passes = group.create_task(loops.run(), name="loops")
        definitions = group.create_task(_compare_definitions(api, probe, settings), name="definitions")

        def end() -> None:
            passes.cancel()
            definitions.cancel()
            stop.set()  # kopf waits five seconds for whoever waits for its stop flag, although it got the signal

        await group.create_task(_watch(loops, settings, stop, end), name="kopf")
        end()


async def _watch(loops: NamespaceLoops, settings: Settings, stop: asyncio.Event, end: Callable[[], object]) -> None:
    await kopf.operator(
        registry=make_registry(loops.wake, _made_kinds(settings), end),
        settings=make_settings(),
        standalone=True,  # one replica that is recreated, never two: no peering, so no object that could pause us
        clusterwide=not settings.namespaces,
        namespaces=list(settings.namespaces),
        stop_flag=stop,
        identity=socket.gethostname(),  # type: ignore[arg-type]  # kopf would ask for a user's name, and a pod's user has none
    )
    # It has taken the signals for itself and ends well only after one of them; whatever else ends it is raised.


async def _wait_for_resources(api: Api) -> None:
    """Wait until the API server serves our kinds: a chart installs them a moment before, or not at all."""
    pauses = Backoff(first_seconds=0.2, longest_seconds=5.0)
    said = ""
    while True:
        try:
            group = await api.get(f"/apis/{API_VERSION}") or {}
            missing = {info.plural for info in KINDS.values()} - {each["name"] for each in group.get("resources") or ()}
            problem = f"the API server does not serve {', '.join(sorted(missing))} of {API_VERSION}" if missing else ""
            hint = f"; install the CRDs: {_WAY_TO_DEFINITIONS}"
        except (ApiError, ApiUnavailableError) as error:
            problem, hint = str(error), ""
        if not problem:
            return
        kind = hint or problem  # definitions that come one by one are one story
        if kind != said:
            _LOG.warning("waiting: %s%s", problem, hint)
            said = kind
        await asyncio.sleep(pauses.next_seconds())


async def _compare_definitions(api: Api, heart: Heart, settings: Settings) -> None:
    """Look for ever whether the definitions are as new as this operator, and say so when that turns."""
    while True:
        found = await _lacks(api)
        if found and not heart.outdated:
            await asyncio.sleep(PUBLISHED_WITHIN_S)
            found = await _lacks(api)
        if found and found != heart.outdated:
            _LOG.error("%s; upgrade them: %s", found, _WAY_TO_DEFINITIONS)
        elif heart.outdated and not found:
            _LOG.info("the definitions are as new as this operator now")
        heart.outdated = found
        await asyncio.sleep(settings.resync_s)


async def _lacks(api: Api) -> str:
    """Return what the definitions lack; nothing where the API server does not say what it serves."""
    try:
        return outdated(await api.get(OPENAPI_PATH) or {})
    except (ApiError, ApiUnavailableError):
        return ""


def _probes(heart: Heart, loops: NamespaceLoops, telemetry: Telemetry) -> Probes:
    return Probes(
        live=heart.live,
        ready=heart.ready,
        status=lambda: msgspec.json.encode(_status(loops)),
        sample=lambda: None,
        metrics_text=telemetry.prometheus_text,
    )


def _status(loops: NamespaceLoops) -> Mapping[str, object]:
    now = time.monotonic()
    return {
        "version": __version__,
        "namespaces": [
            {
                "namespace": state.namespace,
                "passes": state.passes,
                "failures": state.failures,
                "lastPassAgeSeconds": round(now - state.last_ended, 1),
                "lastPassSeconds": round(state.last_seconds, 3),
                "problem": state.problem,
                "resources": 0 if state.result is None else sum(state.result.resources.values()),
                "workloads": 0 if state.result is None else state.result.workloads,
                "gateway": "" if state.result is None else state.result.gateway,
            }
            for state in loops.states.values()
        ],
    }


def _made_kinds(settings: Settings) -> tuple[str, ...]:
    """Return the kinds of children that are made; those that once were are looked for by the passes alone."""
    optional = {
        "PodDisruptionBudget": settings.pods.disruption_budgets,
        "NetworkPolicy": settings.pods.network_policies,
    }
    return tuple(kind for kind in CHILD_KINDS if optional.get(kind, True))


def _telemetry_settings() -> TelemetrySettings:
    return TelemetrySettings(service_name="scanplane-operator", instance=socket.gethostname(), namespace="")


def _told(settings: Settings) -> dict[str, object]:
    return {
        "version": __version__,
        "namespaces": ", ".join(settings.namespaces) or "all",
        "image": settings.pods.image,
        "status_port": settings.status_port,
    }
