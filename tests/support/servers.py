"""Real servers as children of the test session: RabbitMQ and Redis on loopback, each with free ports and a folder of its own.

Nothing here touches a server that the machine already runs: every port, the Erlang port mapper, the cookie and the
data are the child's own, and a child is only ever signalled by the process id it was started with. A server keeps
its port and data over ``kill`` and ``start``, so a test can take it away and bring it back.

Start servers on the main thread: the kernel ends a child when the thread that started it ends, so that a test
session that is killed leaves nothing behind.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["ChildProcess", "RabbitServer", "RedisServer", "ServerUnavailableError", "free_port", "missing_server"]

RABBITMQ_PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
_LOOPBACK = "127.0.0.1"
_AMQP_GREETING = b"AMQP\x00\x00\x09\x01"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class ServerUnavailableError(Exception):
    """A server is not installed or did not start; the text says which and shows the end of its log."""


def free_port() -> int:
    """Return a TCP port that nothing on loopback listens on."""
    with socket.socket() as listener:
        listener.bind((_LOOPBACK, 0))
        return int(listener.getsockname()[1])


def missing_server(*programs: str) -> str | None:
    """Say in one line that none of *programs* is there, or None if one is."""
    if any(shutil.which(program) for program in programs):
        return None
    return f"{programs[-1]} is not installed; run `python tests/servers.py install`"


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


class ChildProcess:
    """One child process in a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # calls one system call and nothing of Python's that locks
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the child's own process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def wait(self, patience_s: float) -> int:
        """Wait until it has ended by itself; return its exit code. Raises TimeoutExpired."""
        return self._process.wait(patience_s)

    def end(self, number: signal.Signals = signal.SIGTERM, patience_s: float = 15.0) -> None:
        """Send *number*, wait, and kill what is still there after *patience_s*."""
        if self.running:
            self.send(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self._process.wait(patience_s)
        self.send(signal.SIGKILL)

    def wait_until(self, ready: Callable[[], bool], what: str, patience_s: float) -> None:
        """Ask *ready* again and again until it says yes; raise with the end of the log if it never does."""
        deadline = time.monotonic() + patience_s
        while not ready():
            if not self.running or time.monotonic() > deadline:
                reason = "is not ready" if self.running else f"ended with {self._process.returncode}"
                tail = self.log.read_text(errors="replace")[-2000:]
                self.end(signal.SIGKILL)
                raise ServerUnavailableError(f"{what} {reason} after {patience_s:.0f} s; its log ends with:\n{tail}")
            time.sleep(0.03)


class _Server:
    """What both servers share: a folder, a port, a child that can be taken away and brought back."""

    name = "server"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"scanplane-{self.name}-"))
        self.port = free_port()
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} is not started"
        return self._child.pid

    def start(self) -> Self:
        """Start and wait until clients are answered."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it as a service manager would; data stays for the next ``start``."""
        if self._child is not None:
            self._child.end()

    def kill(self) -> None:
        """End it with SIGKILL; data stays for the next ``start``."""
        if self._child is not None:
            self._child.end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        assert self._child is not None
        self._child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        assert self._child is not None
        self._child.send(signal.SIGCONT)

    def restart(self) -> None:
        """Kill and start again, on the same port with the same data."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stop it and remove its folder."""
        if self._child is not None:
            self._child.send(signal.SIGCONT)
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answers(port: int, greeting: bytes, expected: bytes) -> bool:
    try:
        with socket.create_connection((_LOOPBACK, port), timeout=1.0) as connection:
            connection.sendall(greeting)
            return connection.recv(64).startswith(expected)
    except OSError:
        return False


class RabbitServer(_Server):
    """A RabbitMQ node without plugins; *settings* are lines of ``rabbitmq.conf``, *advanced* is an ``advanced.config``."""

    name = "rabbitmq"

    def __init__(self, settings: Mapping[str, str] | None = None, advanced: str = "") -> None:
        super().__init__()
        self._settings = dict(settings or {})
        self._advanced = advanced
        self._distribution_port = free_port()
        self._mapper_port = free_port()
        self._mapper: ChildProcess | None = None
        self._node = f"scanplane-{self.port}@localhost"

    @property
    def url(self) -> str:
        """AMQP URL of the default user and virtual host."""
        return f"amqp://guest:guest@{_LOOPBACK}:{self.port}/"

    def url_through(self, port: int) -> str:
        """The same, through a proxy on *port*."""
        return f"amqp://guest:guest@{_LOOPBACK}:{port}/"

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": _LOOPBACK,
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": _LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_LOGS": "-",
            # With input "allowed" the start script becomes the Erlang machine itself, so its pid is the server's.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
        }

    def _write_configuration(self) -> None:
        settings = {"loopback_users": "none", "log.console.level": "warning", "disk_free_limit.absolute": "50MB"}
        settings |= self._settings
        lines = [f"{key} = {value}\n" for key, value in settings.items()]
        (self.folder / "rabbitmq.conf").write_text("".join(lines))
        (self.folder / "advanced.config").write_text(self._advanced or "[].\n")
        (self.folder / "plugins").write_text("[].\n")

    def start(self) -> Self:
        if missing := missing_server(*RABBITMQ_PROGRAMS):
            raise ServerUnavailableError(missing)
        program = next(program for program in RABBITMQ_PROGRAMS if shutil.which(program))
        self._write_configuration()
        environment = self._environment()
        if self._mapper is None or not self._mapper.running:
            self._mapper = ChildProcess(["epmd"], environment, self.folder / "epmd.log")
            self._mapper.wait_until(lambda: _listens(self._mapper_port), "epmd", 10)
        self._child = ChildProcess([program], environment, self.folder / "rabbitmq.log")
        self._child.wait_until(lambda: _answers(self.port, _AMQP_GREETING, b"\x01"), "rabbitmq-server", 90)
        return self

    def control(self, *arguments: str, patience_s: float = 60) -> str:
        """Run ``rabbitmqctl`` against this node and return what it prints (takes a second or two)."""
        completed = subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", "--node", self._node, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=True,
        )
        return completed.stdout

    def close(self) -> None:
        super().close()
        if self._mapper is not None:
            self._mapper.end(signal.SIGKILL)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


class RedisServer(_Server):
    """A Redis that keeps its data in memory; *arguments* are further options of ``redis-server``."""

    name = "redis"

    def __init__(self, *arguments: str, password: str | None = None) -> None:
        super().__init__()
        self._arguments = arguments
        self._password = password

    @property
    def url(self) -> str:
        """Redis URL with the password, if there is one."""
        return self.url_through(self.port)

    def url_through(self, port: int) -> str:
        """The same, through a proxy on *port*."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}{_LOOPBACK}:{port}/0"

    def start(self) -> Self:
        if missing := missing_server("redis-server"):
            raise ServerUnavailableError(missing)
        configuration = self.folder / "redis.conf"
        lines = [f"port {self.port}", f"bind {_LOOPBACK}", f"dir {self.folder}", 'save ""', "appendonly no"]
        if self._password:
            lines.append(f"requirepass {self._password}")
        configuration.write_text("\n".join(lines) + "\n")
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
        command = ["redis-server", str(configuration), *self._arguments]
        self._child = ChildProcess(command, environment, self.folder / "redis.log")
        expected = b"-NOAUTH" if self._password else b"+PONG"
        self._child.wait_until(lambda: _answers(self.port, b"PING\r\n", expected), "redis-server", 20)
        return self
