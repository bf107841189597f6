"""A real kube-apiserver with its etcd, on loopback, for as long as a ``with`` block lasts.

No kubelet, and controllers only where a test asks for them: what is tested is how Kubernetes stores, validates and serves our
resources. All processes are started with data in a temporary folder and are stopped by their process id.
"""

import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.kubernetes_build import kubernetes_binary, say

READY_WITHIN_SECONDS = 60.0


@dataclass(frozen=True)
class ApiServer:
    """Where the server is and how one gets in, as a member of system:masters."""

    url: str
    token: str
    certificate: Path
    kubeconfig: Path
    audit_log: Path
    """Every request that writes, a line of JSON each, where the server was started with ``audit``."""
    process: "ServerProcess"

    def client(self) -> httpx.Client:
        """Return a client whose paths are relative to the server; close it."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=False,
            timeout=30,
        )

    def kubectl(self, *arguments: str, document: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the server; *document* is its standard input."""
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            input=document,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def running_apiserver(
    report: Callable[[str], None] = say,
    options: Sequence[str] = (),
    *,
    audit: bool = False,
    controllers: Sequence[str] = (),
    prepare: Callable[[ApiServer], None] = lambda _server: None,
) -> Iterator[ApiServer]:
    """Start etcd and kube-apiserver with further *options*, yield where they are, stop both.

    With *audit* every write is logged; *controllers* are those of kube-controller-manager to run beside it, which begin
    once *prepare* has returned: a kind that comes later is known to the garbage collector half a minute later.
    Raises RuntimeError with the end of the log of the process that did not become ready.
    """
    binary = kubernetes_binary("kube-apiserver", report)
    # Not that of a distribution: before 3.5.13 etcd does not say how far its watches are, and watches of pods stand still.
    etcd = kubernetes_binary("etcd", report)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanplane-apiserver-")))
        etcd_url = stack.enter_context(_running_etcd(etcd, folder))
        server = stack.enter_context(_running_kube_apiserver(binary, etcd_url, folder, options, audit=audit))
        prepare(server)
        if controllers:
            manager = kubernetes_binary("kube-controller-manager", report)
            stack.enter_context(_running_controllers(manager, server, folder, controllers))
        yield server


class ServerProcess:
    """A server that a test may take away and bring back, with its port and its data."""

    def __init__(self, name: str, command: list[str], folder: Path, ready: Callable[[], bool]) -> None:
        self._name, self._command, self._folder, self._ready = name, command, folder, ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)
        _wait_ready(self._process, self._name, self._folder, self._ready)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Make it hang: connections stay open, and nothing answers."""
        assert self._process is not None, "start it first"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None, "start it first"
        self._process.send_signal(signal.SIGCONT)


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running_etcd(etcd: Path, folder: Path) -> Iterator[str]:
    client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    command = [str(etcd), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"]
    command += ["--listen-client-urls", client, "--advertise-client-urls", client]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    with _running("etcd", command, folder) as process, httpx.Client() as http:
        _wait_ready(process, "etcd", folder, lambda: http.get(f"{client}/health").is_success)
        yield client


@contextmanager
def _running_kube_apiserver(
    binary: Path, etcd_url: str, folder: Path, options: Sequence[str], *, audit: bool
) -> Iterator[ApiServer]:
    certificates = folder / "certificates"
    key = folder / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    token = secrets.token_urlsafe(24)
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{token},test-admin,test-admin,"system:masters"\n')
    tokens.chmod(0o600)
    port = free_port()
    command = [str(binary), "--etcd-servers", etcd_url, "--bind-address", "127.0.0.1", "--secure-port", str(port)]
    command += ["--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none"]
    command += ["--cert-dir", str(certificates), "--token-auth-file", str(tokens), "--authorization-mode", "RBAC"]
    command += [
        "--service-account-issuer",
        "https://kubernetes.default.svc",
        "--service-cluster-ip-range",
        "10.96.0.0/24",
    ]
    command += ["--service-account-key-file", str(key), "--service-account-signing-key-file", str(key)]
    command += ["--disable-admission-plugins", "ServiceAccount"]  # nobody makes the default accounts here
    command += options
    audit_log = folder / "audit.log"
    if audit:
        policy = folder / "audit-policy.yaml"
        policy.write_text(_AUDIT_POLICY)
        command += ["--audit-policy-file", str(policy), "--audit-log-path", str(audit_log)]

    def ready() -> bool:
        with server.client() as http:
            return http.get("/readyz").is_success

    process = ServerProcess("kube-apiserver", command, folder, ready)
    server = ApiServer(
        url=f"https://127.0.0.1:{port}",
        token=token,
        certificate=certificates / "apiserver.crt",
        kubeconfig=folder / "kubeconfig",
        audit_log=audit_log,
        process=process,
    )
    _write_kubeconfig(server)
    try:
        process.start()
        yield server
    finally:
        process.kill()


_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
"""


@contextmanager
def _running_controllers(binary: Path, server: ApiServer, folder: Path, names: Sequence[str]) -> Iterator[None]:
    port = free_port()
    command = [str(binary), "--kubeconfig", str(server.kubeconfig), "--controllers", ",".join(names)]
    command += ["--bind-address", "127.0.0.1", "--secure-port", str(port), "--leader-elect=false"]
    command += ["--cert-dir", str(folder / "controllers"), "--kube-api-qps", "200", "--kube-api-burst", "400"]
    with (
        _running("kube-controller-manager", command, folder) as process,
        httpx.Client(verify=False) as http,
    ):
        url = f"https://127.0.0.1:{port}/healthz"
        _wait_ready(process, "kube-controller-manager", folder, lambda: http.get(url).is_success)
        yield


def _write_kubeconfig(server: ApiServer) -> None:
    server.kubeconfig.touch(mode=0o600)
    server.kubeconfig.write_text(
        f"""\
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {{server: "{server.url}", certificate-authority: "{server.certificate}"}}
users:
- name: test-admin
  user: {{token: "{server.token}"}}
contexts:
- name: test
  context: {{cluster: test, user: test-admin}}
current-context: test
"""
    )


@contextmanager
def _running(name: str, command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* with its output in a log file; stop it by its process id."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process at once: what it holds is thrown away with its folder, and an end in order takes it ten seconds."""
    process.kill()
    process.wait()


def _wait_ready(process: subprocess.Popen[bytes], name: str, folder: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if ready():
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.05)  # neither etcd nor kube-apiserver tells when it is ready: one has to ask
    tail = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{name} did not become ready within {READY_WITHIN_SECONDS:.0f} s:\n{tail}")
