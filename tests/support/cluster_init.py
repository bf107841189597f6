"""The first process inside the one-node cluster's namespaces: starts components when told, reaps, and takes all with it.

    unshare --net --mount --pid --fork ... python cluster_init.py FOLDER

It stands alone (no import of this repository), since it is what must not break. Orders come as lines through the pipe
``FOLDER/orders``: ``start NAME`` runs the command in ``FOLDER/components/NAME.json`` with its output in
``FOLDER/logs/NAME.log``; ``stop`` ends everything, since the kernel ends all processes of a PID namespace with the first one.
What a component ended with is written to ``FOLDER/ended/NAME``.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

WRITTEN_BY_PROGRAMS = ("/var/lib", "/var/log", "/opt")
"""Where container programs write by habit, whatever they are told: writes go into the cluster's folder instead."""


def main(folder: Path) -> None:
    _make_mounts(folder)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Open for writing too, so that the pipe never ends while nobody writes.
    orders = os.open(folder / "orders", os.O_RDWR)
    running: dict[int, str] = {}
    pending = b""
    (folder / "begun").touch()
    while True:
        readable, _, _ = select.select([orders, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 4096)
            _reap(folder, running)
        if orders in readable:
            *lines, pending = (pending + os.read(orders, 4096)).split(b"\n")
            for line in lines:
                verb, _, name = line.decode().partition(" ")
                if verb == "stop":
                    return
                running[_start(folder, name)] = name


def _make_mounts(folder: Path) -> None:
    """Make what is mounted from here on ours alone, hide the machine's /run, and catch what programs write by habit."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    for target in WRITTEN_BY_PROGRAMS:
        layers = folder / "written" / target.strip("/").replace("/", "-")
        upper, work = layers / "upper", layers / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir={target},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", target], check=True)
    # kubelet shares the mounts of volumes with containers.
    subprocess.run(["mount", "--make-rshared", "/"], check=True)


def _start(folder: Path, name: str) -> int:
    component = json.loads((folder / "components" / f"{name}.json").read_text())
    with (folder / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            component["command"],
            env=os.environ | component["environment"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # it is reaped here, with whatever else is left to the first process
    return process.pid


def _reap(folder: Path, running: dict[int, str]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if name := running.pop(ended[0], None):
                (folder / "ended" / name).write_text(str(os.waitstatus_to_exitcode(ended[1])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
