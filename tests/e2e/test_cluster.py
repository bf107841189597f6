"""The cluster that the other journeys stand on: a real node, real pods, names, logs, and nothing left of it."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import cluster_choice, cluster_development
from support.cluster import CONTEXT_VARIABLE, Cluster, CommandFailedError
from support.cluster_choice import open_cluster
from support.cluster_network import networks_in_use
from support.cluster_node import clear, running_node, start_node
from support.findings import say
from support.images import REPOSITORY, server_images
from support.kubernetes_build import program_on_hand

pytestmark = pytest.mark.server

ENDED_WITHIN_SECONDS = 120.0
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SECURITY: Mapping[str, Any] = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def pod(name: str, image: str, *, user: int | None = None, **container: Any) -> dict[str, Any]:
    """A pod of the restricted standard with one container; *container* has the rest of its fields."""
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if user is not None:
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    mounts = [{"name": "data", "mountPath": path} for path in container.pop("data", ())]
    described = {"name": "main", "image": image, "securityContext": SECURITY, "volumeMounts": mounts} | container
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": security,
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [described],
        },
    }


def service(name: str, port: int) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace("cluster", RESTRICTED) as name:
        yield name


@pytest.fixture
def create(cluster: Cluster, namespace: str) -> Callable[..., None]:
    def create_objects(*documents: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        cluster.kubectl("create", "--namespace", namespace, "-f", "-", document=json.dumps(items))

    return create_objects


@pytest.fixture
def finish(cluster: Cluster, namespace: str) -> Callable[[str], str]:
    """Wait until a pod has succeeded and return what it said."""

    def wait_and_read(name: str) -> str:
        deadline = time.monotonic() + ENDED_WITHIN_SECONDS
        query = ("get", "pod", name, "--namespace", namespace, "--output=jsonpath={.status.phase}")
        while (phase := cluster.kubectl(*query)) not in {"Succeeded", "Failed"}:
            assert time.monotonic() < deadline, f"{name} is {phase}\n{cluster.describe(namespace)}"
            time.sleep(0.2)
        said = cluster.kubectl("logs", name, "--namespace", namespace)
        assert phase == "Succeeded", said
        return said

    return wait_and_read


def test_the_node_is_ready_and_of_the_version_that_we_support(cluster: Cluster) -> None:
    node = json.loads(cluster.kubectl("get", "node", cluster.node, "--output=json"))
    conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    version = node["status"]["nodeInfo"]["kubeletVersion"]
    if cluster.runtime.is_in_reach:  # another cluster is what it is
        assert version.startswith("v1.36."), version
    say(f"{cluster.node}: {node['status']['nodeInfo']['kubeletVersion']}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version"], "scanplane "),
        (["validate", "examples/us-stocks.yaml", "examples/scanners"], "nothing wrong"),
        (["plan", "examples/demo-market"], "analyzer-us-stocks-0"),
        (
            [
                "simulate",
                "market",
                "--events",
                "8000",
                "--speed",
                "1000000",
                "--start",
                "immediately",
                "--until-finished",
            ],
            "market at ws:",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_image_does_its_work_in_a_restricted_pod(
    arguments: list[str],
    said: str,
    cluster: Cluster,
    create: Callable[..., None],
    finish: Callable[[str], str],
) -> None:
    name = "image-" + arguments[0].strip("-")
    create(pod(name, cluster.images.scanplane, args=arguments, imagePullPolicy="Never"))
    assert said in finish(name)


def test_the_operator_is_in_the_same_image(
    cluster: Cluster, create: Callable[..., None], finish: Callable[[str], str]
) -> None:
    program = "import scanplane_operator, os; print(scanplane_operator.__name__, os.getuid(), os.access('/', os.W_OK))"
    create(pod("operator", cluster.images.scanplane, command=["python", "-c", program]))
    assert finish("operator").split() == ["scanplane_operator", "65532", "False"]


def test_a_pod_that_asks_for_more_is_refused(cluster: Cluster, namespace: str) -> None:
    greedy = pod("greedy", cluster.images.scanplane)
    greedy["spec"]["hostNetwork"] = True
    with pytest.raises(CommandFailedError, match='violates PodSecurity "restricted'):
        cluster.kubectl("create", "--namespace", namespace, "-f", "-", document=json.dumps(greedy))


def test_a_pod_finds_a_service_by_its_name(
    cluster: Cluster, namespace: str, create: Callable[..., None], finish: Callable[[str], str]
) -> None:
    ready = {"tcpSocket": {"port": 8765}, "periodSeconds": 1}
    simulate = ["simulate", "market", "--host", "0.0.0.0", "--port", "8765", "--events", "8000"]
    create(service("provider", 8765), pod("provider", cluster.images.scanplane, args=simulate, readinessProbe=ready))
    cluster.kubectl(
        "wait", "--for=condition=Ready", "pod/provider", "--namespace", namespace, "--timeout=120s", patience_s=130
    )
    program = (
        "import urllib.request as u, time\n"
        "for _ in range(100):\n"
        "    try:\n"
        f"        print(u.urlopen('http://provider.{namespace}.svc/simulator/status', timeout=5).read().decode())\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
    )
    create(pod("asker", cluster.images.scanplane, command=["python", "-c", program]))
    assert json.loads(finish("asker"))["session"] == "market"


ASKS_THE_API_SERVER = """\
import ssl, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
verified = ssl.create_default_context(cafile=f"{folder}/ca.crt")
headers = {"Authorization": "Bearer " + open(f"{folder}/token").read()}
for path in ("/api", "/api/v1/secrets"):
    request = urllib.request.Request("https://kubernetes.default.svc" + path, headers=headers)
    try:
        print(urllib.request.urlopen(request, context=verified, timeout=10).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


def test_a_pod_with_a_token_reaches_the_api_server_and_may_do_what_it_was_granted(
    cluster: Cluster, create: Callable[..., None], finish: Callable[[str], str]
) -> None:
    asker = pod("token", cluster.images.scanplane, command=["python", "-c", ASKS_THE_API_SERVER])
    asker["spec"]["automountServiceAccountToken"] = True
    create(asker)
    assert finish("token").split() == ["200", "403"]


def test_a_port_is_forwarded(cluster: Cluster, namespace: str, create: Callable[..., None]) -> None:
    ready = {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 1, "timeoutSeconds": 5}
    create(pod("forwarded", cluster.images.redis, user=999, data=["/data"], readinessProbe=ready))
    waits = ("wait", "--for=condition=Ready", "pod/forwarded", "--namespace", namespace, "--timeout=120s")
    cluster.kubectl(*waits, patience_s=130)
    command = [str(program_on_hand("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    command += ["port-forward", "pod/forwarded", ":6379"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
            assert found
            with socket.create_connection(("127.0.0.1", int(found[1])), timeout=10) as connection:
                connection.sendall(b"PING\r\n")
                assert connection.recv(64) == b"+PONG\r\n"
        finally:
            forwarding.terminate()


def test_names_of_elsewhere_do_not_exist(
    cluster: Cluster, create: Callable[..., None], finish: Callable[[str], str]
) -> None:
    if CONTEXT_VARIABLE in os.environ and cluster.node != "scanplane-node":
        pytest.skip("a cluster of the user's may well reach the world")
    program = (
        "import socket\ntry: print(socket.getaddrinfo('elsewhere.invalid', 80))\nexcept OSError as e: print('absent')"
    )
    create(pod("lost", cluster.images.scanplane, command=["python", "-c", program]))
    assert finish("lost").strip() == "absent"


def test_rabbitmq_and_redis_run_restricted_with_data_and_settings_mounted(
    cluster: Cluster, namespace: str, create: Callable[..., None]
) -> None:
    ping = {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 1, "timeoutSeconds": 5}
    diagnose = {"exec": {"command": ["rabbitmq-diagnostics", "-q", "ping"]}, "periodSeconds": 2, "timeoutSeconds": 20}
    create(
        pod("redis", cluster.images.redis, user=999, data=["/data"], readinessProbe=ping),
        pod("rabbitmq", cluster.images.rabbitmq, user=999, data=["/var/lib/rabbitmq"], readinessProbe=diagnose),
    )
    cluster.kubectl(
        "wait", "--for=condition=Ready", "pod/redis", "--namespace", namespace, "--timeout=120s", patience_s=130
    )
    cluster.kubectl(
        "wait", "--for=condition=Ready", "pod/rabbitmq", "--namespace", namespace, "--timeout=120s", patience_s=130
    )
    assert (
        cluster.kubectl("exec", "redis", "--namespace", namespace, "--", "redis-cli", "set", "a", "1").strip() == "OK"
    )
    version = cluster.kubectl("exec", "rabbitmq", "--namespace", namespace, "--", "rabbitmqctl", "version").strip()
    assert version.split(".")[0] in {"3", "4"}
    say(f"RabbitMQ {version}")


def test_helm_reaches_the_cluster(cluster: Cluster, namespace: str) -> None:
    assert json.loads(cluster.helm("list", "--namespace", namespace, "--output", "json")) == []


@pytest.fixture
def own_cluster_only(cluster: Cluster) -> None:
    if cluster.node != "scanplane-node":
        pytest.skip("only of clusters that the tests start themselves")


@pytest.fixture
def empty_place() -> Iterator[Path]:
    """A folder with a short name, which sockets need."""
    with tempfile.TemporaryDirectory(prefix="scanplane-") as folder:
        yield Path(folder)


def mounts() -> set[str]:
    return {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}


def processes_of(folder: Path) -> list[str]:
    """The command lines that name *folder*, of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.mark.usefixtures("own_cluster_only")
def test_a_second_cluster_stands_beside_the_first_and_leaves_nothing(empty_place: Path, cluster: Cluster) -> None:
    folder = empty_place / "second"
    before = (mounts(), networks_in_use(), control_groups("second"))
    begun = time.monotonic()
    second = start_node(folder, images=lambda _report: server_images()[:1], report=say)
    started = time.monotonic() - begun
    try:
        pause = server_images()[0].names[0]
        waiting = json.dumps(pod("waiting", pause))
        beside = Cluster(second.kubeconfig, cluster.node, cluster.images, second)
        beside.kubectl("create", "-f", "-", document=waiting)
        beside.kubectl("wait", "--for=condition=Ready", "pod/waiting", "--timeout=120s", patience_s=130)
        assert cluster.try_kubectl("get", "pod", "waiting").returncode == 1
        assert processes_of(folder)
        # The other one's certificate is none of its.
        verified = ssl.create_default_context(cafile=str(folder / "certificates/ca.crt"))
        server = json.loads(second.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        assert httpx.get(f"{server}/livez", verify=verified).status_code == 200
    finally:
        begun = time.monotonic()
        second.stop()
    say(f"started in {started:.1f} s, gone in {time.monotonic() - begun:.1f} s")
    assert (mounts(), networks_in_use(), control_groups("second")) == before
    assert processes_of(folder) == []
    assert not folder.exists()
    assert cluster.kubectl("get", "node", cluster.node)


@pytest.mark.usefixtures("own_cluster_only")
def test_a_developer_gets_one_keeps_it_and_ends_it(
    empty_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = empty_place / "kept"
    monkeypatch.setattr(cluster_development, "development_folder", lambda: folder)
    try:
        assert cluster_development.main(["up"]) == 0
        first = running_node(folder)
        assert first is not None
        assert f"export KUBECONFIG={first.kubeconfig}" in capsys.readouterr().out
        assert cluster_development.main(["up"]) == 0
        assert running_node(folder) == first
        monkeypatch.setenv("KUBECONFIG", str(first.kubeconfig))
        monkeypatch.setenv(CONTEXT_VARIABLE, first.context)
        monkeypatch.setattr(cluster_choice, "development_folder", lambda: folder)
        with open_cluster() as named:
            assert named.kubectl("get", "nodes", "--output=name").strip() == f"node/{named.node}"
        assert running_node(folder) == first, "a cluster that is named is left running"
    finally:
        assert cluster_development.main(["down"]) == 0
    assert not folder.exists()
    assert cluster_development.main(["down"]) == 0
    assert capsys.readouterr().out.endswith("No cluster is up.\n")


STARTS_AND_WAITS = """\
import sys, time
from pathlib import Path
from support.cluster_node import start_node
start_node(Path(sys.argv[1]), images=lambda _report: [], report=lambda _line: None)
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("own_cluster_only")
def test_a_session_that_is_killed_takes_its_cluster_with_it(empty_place: Path) -> None:
    folder = empty_place / "killed"
    session = subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS, str(folder)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with session:
            assert session.stdout is not None
            assert session.stdout.readline() == "started\n"
            assert len(processes_of(folder)) > 8
            session.kill()
        deadline = time.monotonic() + 20
        while left := processes_of(folder):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert running_node(folder) is None
    finally:
        if still_there := running_node(folder):
            still_there.stop()
        elif folder.exists():
            clear(folder)
    assert not control_groups("killed")


def control_groups(name: str) -> set[Path]:
    return set(Path("/sys/fs/cgroup").glob(f"**/scanplane-{name}*"))


def test_a_context_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTEXT_VARIABLE, "no-such-context")
    with pytest.raises(RuntimeError, match="SCANPLANE_TEST_CONTEXT=no-such-context: "), open_cluster():
        pass


@pytest.mark.usefixtures("own_cluster_only")
def test_a_component_that_fails_is_named_with_the_end_of_its_log(
    empty_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support import cluster_components  # noqa: PLC0415  # what is broken for this test

    monkeypatch.setattr(cluster_components, "_kubelet", lambda _node: {"kind": "Nonsense"})
    folder = empty_place / "broken"
    with pytest.raises(RuntimeError, match=r"(?s)^kubelet ended with 1:.*Nonsense"):
        start_node(folder, images=lambda _report: [], report=lambda _line: None)
    assert not folder.exists()
