"""A role process for tests: it says where it is on standard output, and waits there for a line where it is told to.

Usage: role_program.py CONFIGURATION SECRETS STATUS_PORT MOMENT, where MOMENT is one of ``importing``, ``making``,
``standby``, ``active``, ``draining`` (waits for a line once it stands there, but for ``standby`` and ``active``, where
it waits for a stop), ``done`` (its work ends by itself), ``input``, ``bug`` (fails so).
"""

import sys

from scanplane.roles.signals import catch_stop_signals

catch_stop_signals()


def tell(moment: str, *, and_wait: bool = False) -> None:
    """Say *moment*; wait for a line from the test if it is the chosen one."""
    sys.stdout.write(f"{moment}\n")
    sys.stdout.flush()
    if and_wait and moment == sys.argv[4]:
        sys.stdin.readline()


def main() -> int:
    """Import everything that a role process imports, and run."""
    import asyncio  # noqa: PLC0415  # imports are what is interrupted here
    from pathlib import Path  # noqa: PLC0415

    from scanplane.broker.interface import BatonHold  # noqa: PLC0415
    from scanplane.plan.configuration import RoleConfiguration, configuration_hash  # noqa: PLC0415
    from scanplane.roles.batons import serve_with_baton  # noqa: PLC0415
    from scanplane.roles.interface import RoleInputError, RoleServices  # noqa: PLC0415
    from scanplane.roles.lifecycle import Lifecycle  # noqa: PLC0415
    from scanplane.roles.process import ProcessSettings, run_role_process  # noqa: PLC0415
    from scanplane.telemetry.setup import Telemetry  # noqa: PLC0415
    from scanplane.telemetry.status import RoleStatus  # noqa: PLC0415

    moment = sys.argv[4]

    class Example:
        def __init__(self, configuration: RoleConfiguration, services: RoleServices) -> None:
            self.name = configuration.name
            self._broker = services.broker
            self._lifecycle = Lifecycle(
                role="example", instance=self.name, configuration=configuration_hash(configuration)
            )
            self.standby, self.active = self._lifecycle.standby, self._lifecycle.active

        def status(self) -> RoleStatus:
            return self._lifecycle.status({"events_total": 7})

        def stalled(self) -> tuple[str, ...]:
            return self._lifecycle.stalled()

        async def run(self, stop: asyncio.Event) -> None:
            if moment == "bug":
                raise KeyError("a bug")

            async def work(_: BatonHold) -> None:
                tell("active")
                if moment != "done":
                    await stop.wait()
                    tell("draining")
                if moment == "draining":
                    await asyncio.Event().wait()

            if moment == "standby":
                async with self._broker.baton("example"):
                    asyncio.get_running_loop().call_soon(tell, "standby")
                    await serve_with_baton(self._broker, "example", work, stop, self._lifecycle)
            else:
                await serve_with_baton(self._broker, "example", work, stop, self._lifecycle)
            self._lifecycle.end()

    def make(configuration: RoleConfiguration, services: RoleServices, _: Telemetry) -> Example:
        tell("making", and_wait=True)
        if moment == "input":
            raise RoleInputError("recording.parquet is not there")
        return Example(configuration, services)

    settings = ProcessSettings(
        configuration=Path(sys.argv[1]),
        secrets=Path(sys.argv[2]),
        status_host="127.0.0.1",
        status_port=int(sys.argv[3]),
    )
    return run_role_process(settings, make)


if __name__ == "__main__":
    tell("importing", and_wait=True)
    sys.exit(main())
