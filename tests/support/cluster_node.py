"""A real Kubernetes of one node on this machine, without Docker, a registry or a network, that goes without a trace.

etcd, control plane, kubelet, containerd, kube-proxy and CoreDNS run in network, mount and PID namespaces of their own
(``cluster_init``). So nothing of them meets another cluster, another containerd or the machine's iptables, pods reach nothing
outside, and to end them is to end one process: the kernel then ends all others and drops mounts, interfaces and rules. A folder
and the pods' control groups are what is left to remove.

Pods have DNS and Services. NetworkPolicies are stored and not enforced; there is no storage class and no load balancer.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from support import cluster_certificates, cluster_components
from support.cluster_cgroups import make_control_groups, remove_control_groups
from support.cluster_components import ADMINISTRATOR, DNS_READY_PORT, NODE, Node, context_name
from support.cluster_network import connect
from support.images import Image, previous_image, project_image, server_images
from support.kubernetes_build import kubernetes_binary, program_on_hand, say

__all__ = ["PROGRAMS_OF_THE_NODE", "OneNode", "all_images", "clear", "running_node", "start_node", "why_not"]

READY_WITHIN_SECONDS = 90.0
STOPPED_WITHIN_SECONDS = 30.0
LONGEST_FOLDER = 80
"""In characters: the paths of sockets end at 107."""

PROGRAMS_OF_THE_NODE = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
_PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_NEEDED = ("containerd", "runc", "ctr", "iptables", "ip", "nsenter", "unshare", "openssl")
_FIRST = ("etcd", "containerd", "kube-apiserver")
_INIT = Path(__file__).with_name("cluster_init.py")
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

Report = Callable[[str], None]


@dataclass(frozen=True)
class OneNode:
    """A started cluster."""

    folder: Path
    process: int
    """Id of the process whose end is the end of the cluster."""
    begun: str
    """When that process began, as the kernel counts; tells it from a later one with the same id."""
    is_in_reach: bool = True

    @property
    def kubeconfig(self) -> Path:
        """An administrator's; readable by its owner alone."""
        return self.folder / "kubeconfigs" / ADMINISTRATOR

    @property
    def context(self) -> str:
        """What the kubeconfig calls the cluster."""
        return context_name(self.folder)

    @property
    def is_running(self) -> bool:
        """Tell whether the cluster's process is still there."""
        return _begun(self.process) == self.begun

    def load_image(self, image: Image) -> None:
        """Make *image* known to the node under all its names, unless it is already. Raises RuntimeError."""
        known = set(self._ctr("images", "list", "--quiet").split())
        if image.names[0] not in known:
            self._ctr("images", "import", str(image.archive))
        for name in image.names[1:]:
            self.tag_image(image.names[0], name)

    def tag_image(self, name: str, other: str) -> None:
        """Make the image *name* known as *other* too. Raises RuntimeError."""
        self._ctr("images", "tag", "--force", name, other)

    def build(self, source: Path) -> str:
        """Make the image of another version from its *source*, load it and return its name. Raises RuntimeError."""
        image = previous_image(source)
        self.load_image(image)
        return image.names[0]

    def kill(self, container: str) -> None:
        """End the first process of a container with SIGKILL, which nobody inside can. Raises RuntimeError."""
        self._ctr("tasks", "kill", "--signal", "SIGKILL", container)

    def logs(self, component: str, lines: int = 12) -> str:
        """Return the end of a component's log."""
        return _end_of_log(self.folder, component, lines)

    def stop(self) -> None:
        """End every process of the cluster and remove what it left; return when all is gone."""
        _order(self.folder, "stop")
        deadline = time.monotonic() + STOPPED_WITHIN_SECONDS
        while self.is_running:
            if time.monotonic() > deadline:
                os.kill(self.process, signal.SIGKILL)
            _reap(self.process)
            time.sleep(0.02)  # a process that is no child of ours can only be looked at
        clear(self.folder)

    def _ctr(self, *arguments: str) -> str:
        return _run("ctr", "--address", str(self.folder / "containerd.sock"), "--namespace", "k8s.io", *arguments)


def why_not() -> str | None:
    """Say in one line why this machine can't have such a cluster, or None."""
    if os.geteuid() != 0:
        return (
            "a one-node cluster is started by root; run as root, or name a cluster of yours in SCANPLANE_TEST_CONTEXT"
        )
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing or _plugins() is None:
        absent = ", ".join(missing or ["CNI plugins"])
        return f"{absent} not installed; run `python tests/servers.py install`"
    return None


def all_images(report: Report) -> Iterator[Image]:
    """Give every image that tests use, each as soon as it is made."""
    yield from server_images(report)
    yield project_image(report)


def start_node(
    folder: Path,
    *,
    detached: bool = False,
    images: Callable[[Report], Iterable[Image]] = all_images,
    report: Report = say,
) -> OneNode:
    """Start a cluster that keeps everything in *folder*, which must not be there yet, and load *images*.

    A *detached* one outlives this process; else the kernel ends it with the calling thread.
    Raises RuntimeError with the end of the log of the component that did not become ready, and leaves nothing behind.
    """
    if reason := why_not():
        raise RuntimeError(reason)
    if len(str(folder)) > LONGEST_FOLDER:
        raise RuntimeError(f"{folder} is too long a path for the sockets in it: {LONGEST_FOLDER} characters at most")
    binaries = {name: kubernetes_binary(name, report) for name in PROGRAMS_OF_THE_NODE}
    binaries["containerd"] = Path(shutil.which("containerd") or "containerd")
    begun = time.monotonic()
    for name in ("certificates", "cni", "components", "ended", "kubeconfigs", "logs"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o700)
    os.mkfifo(folder / "orders", 0o600)
    make_control_groups(_control_group(folder))
    process = _start_init(folder, detached=detached)
    cluster = OneNode(folder, process, _begun(process) or "")
    try:
        addresses = connect(process)
        node = Node(folder, addresses, _control_group(folder), binaries, _plugins() or Path())
        _write_files(node)
        (folder / "state.json").write_text(json.dumps({"process": cluster.process, "begun": cluster.begun}))
        _Startup(cluster, node, report).run(images)
    except BaseException:
        cluster.stop()
        raise
    report(f"Kubernetes is ready after {time.monotonic() - begun:.1f} s.")
    return cluster


def running_node(folder: Path) -> OneNode | None:
    """Return the cluster that was started in *folder*, or None if it doesn't run."""
    with contextlib.suppress(FileNotFoundError):
        state = json.loads((folder / "state.json").read_text())
        cluster = OneNode(folder, state["process"], state["begun"])
        return cluster if cluster.is_running else None
    return None


def clear(folder: Path) -> None:
    """Remove what a cluster left in *folder* whose processes have all ended, be it by a restart of the machine."""
    remove_control_groups(_control_group(folder))
    shutil.rmtree(folder)


class _Startup:
    """Brings the components up in order: what is asked of them is whether they answer, by their own health checks."""

    def __init__(self, cluster: OneNode, node: Node, report: Report) -> None:
        self._cluster = cluster
        self._node = node
        self._report = report
        self._deadline = time.monotonic() + READY_WITHIN_SECONDS
        self._started: list[str] = []

    def run(self, images: Callable[[Report], Iterable[Image]]) -> None:
        with ThreadPoolExecutor(1) as pool:
            self._wait("init", (self._node.folder / "begun").exists)
            self._start(*_FIRST)
            verified = ssl.create_default_context(cafile=str(self._node.folder / "certificates/ca.crt"))
            with httpx.Client(verify=verified, headers=self._authorization(), timeout=5) as client:
                self._wait("containerd", self._node.containerd.exists)
                loading = pool.submit(self._load, images)
                self._wait("kube-apiserver", lambda: client.get(f"{self._node.server}/readyz").is_success)
                self._report("The API server answers.")
                self._start(*(name for name in cluster_components.components(self._node) if name not in _FIRST))
                self._apply()
                ready = f"http://{self._node.addresses.node}:{DNS_READY_PORT}/ready"
                self._wait("coredns", lambda: client.get(ready).is_success)
                self._wait("kubelet", lambda: self._node_is_ready(client))
                self._report("The node is ready; loading images ...")
                loading.result()

    def _load(self, images: Callable[[Report], Iterable[Image]]) -> None:
        for image in images(self._report):
            self._cluster.load_image(image)

    def _start(self, *names: str) -> None:
        for name in names:
            self._started.append(name)
            _order(self._node.folder, f"start {name}")

    def _authorization(self) -> dict[str, str]:
        document = json.loads(self._cluster.kubeconfig.read_text())
        return {"Authorization": f"Bearer {document['users'][0]['user']['token']}"}

    def _apply(self) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": cluster_components.manifests(self._node)}
        kubectl = str(program_on_hand("kubectl", self._report))
        _run(kubectl, "--kubeconfig", str(self._cluster.kubeconfig), "apply", "-f", "-", document=json.dumps(items))

    def _node_is_ready(self, client: httpx.Client) -> bool:
        answer = client.get(f"{self._node.server}/api/v1/nodes/{NODE}")
        if not answer.is_success:
            return False
        node = answer.json()
        conditions = {one["type"]: one["status"] for one in node["status"].get("conditions", [])}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def _wait(self, component: str, ready: Callable[[], bool]) -> None:
        """Ask *ready* until it says yes. Raises RuntimeError with the end of the log of what ended or is late."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                if ready():
                    return
            self._fail_if_ended()
            if time.monotonic() > self._deadline:
                raise RuntimeError(
                    f"{component} is not ready after {READY_WITHIN_SECONDS:.0f} s; its log ends with:\n"
                    f"{self._cluster.logs(component)}"
                )
            time.sleep(0.1)  # none of them tells when it is ready: one has to ask

    def _fail_if_ended(self) -> None:
        if not self._cluster.is_running:
            raise RuntimeError(f"the cluster's first process ended:\n{self._cluster.logs('init')}")
        for name in self._started:
            ended = self._node.folder / "ended" / name
            if ended.exists():
                raise RuntimeError(f"{name} ended with {ended.read_text()}:\n{self._cluster.logs(name)}")


def _start_init(folder: Path, *, detached: bool) -> int:
    """Start the first process in namespaces of its own; return the id of a process that ends when all in them has ended."""
    unshare = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
    ]
    with (folder / "logs" / "init.log").open("wb") as log:
        process = subprocess.Popen(
            [*unshare, sys.executable, "-I", str(_INIT), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=None if detached else _end_with_parent,  # noqa: PLW1509  # one system call, nothing that locks
        )
    process.returncode = 0  # a cluster is found again by the id alone, so it is reaped by that
    return process.pid


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _write_files(node: Node) -> None:
    for name, text in cluster_components.configuration_files(node).items():
        path = node.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    for name, component in cluster_components.components(node).items():
        description = {"command": component.command, "environment": dict(component.environment)}
        (node.folder / "components" / f"{name}.json").write_text(json.dumps(description))
    certificates = node.folder / "certificates"
    cluster_certificates.make_authority(certificates)
    cluster_certificates.make_key(certificates / "service-accounts.key")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    addresses = [node.addresses.kubernetes_service, node.addresses.node, "127.0.0.1"]
    alternatives = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    cluster_certificates.make_certificate(certificates, "apiserver", "/CN=kube-apiserver", alternatives)
    cluster_certificates.make_certificate(certificates, "apiserver-to-kubelet", "/O=system:masters/CN=apiserver")


def _order(folder: Path, line: str) -> None:
    """Tell the first process something; nobody may be there to hear it."""
    with contextlib.suppress(OSError):
        pipe = os.open(folder / "orders", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, f"{line}\n".encode())
        finally:
            os.close(pipe)


def _begun(process: int) -> str | None:
    """Return when *process* began, in the kernel's ticks, or None if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def _reap(process: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)


def _control_group(folder: Path) -> str:
    return f"scanplane-{folder.name}"


def _plugins() -> Path | None:
    return next((folder for folder in _PLUGIN_FOLDERS if (folder / "ptp").exists()), None)


def _end_of_log(folder: Path, component: str, lines: int) -> str:
    log = folder / "logs" / f"{component}.log"
    if not log.exists():
        return "(it was not started)"
    return "\n".join(line[:300] for line in log.read_text(errors="replace").splitlines()[-lines:])


def _run(*command: str, document: str | None = None) -> str:
    completed = subprocess.run(command, input=document, capture_output=True, text=True, timeout=120, check=False)
    if completed.returncode:
        raise RuntimeError(f"`{' '.join(command[:6])} ...` failed: {completed.stderr.strip()[-2000:]}")
    return completed.stdout
