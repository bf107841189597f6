"""What the one-node cluster is made of, as far as it needs no cluster to be told right from wrong."""

import ipaddress
import json
import re
from pathlib import Path

import pytest

from support import kubernetes_build
from support.cluster_components import NODE, Node, components, configuration_files, manifests
from support.cluster_network import FIRST_BLOCK, LAST_BLOCK, Addresses, free_blocks
from support.images import CONTEXT, RECIPES, REPOSITORY
from support.kubernetes_build import PROGRAMS, cache_folder, kubernetes_version
from support.wheels import requirements_for

ADDRESSES = Addresses(200)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    names = ("containerd", *PROGRAMS)
    binaries = {name: Path("/programs") / name for name in names}
    return Node(tmp_path / "some", ADDRESSES, "scanplane-some", binaries, Path("/usr/lib/cni"))


@pytest.mark.parametrize(
    ("in_use", "first"),
    [
        ([], FIRST_BLOCK),
        (["192.0.2.0/24", "172.16.0.0/12"], FIRST_BLOCK),
        (["10.200.255.0/30"], FIRST_BLOCK + 1),
        (["10.200.0.0/15"], FIRST_BLOCK + 2),
        (["10.201.3.4/32"], FIRST_BLOCK),
        (["10.128.0.0/9"], None),
        (["10.0.0.0/8"], None),
    ],
)
def test_a_cluster_takes_addresses_that_nobody_uses(in_use: list[str], first: int | None) -> None:
    free = free_blocks([ipaddress.IPv4Network(network) for network in in_use])
    assert next(iter(free), None) == first
    assert all(FIRST_BLOCK <= block <= LAST_BLOCK for block in free)


def test_addresses_lie_in_their_networks_and_networks_do_not_overlap() -> None:
    network = ipaddress.IPv4Network
    pods, services, cable = (
        network(ADDRESSES.pods),
        network(ADDRESSES.services),
        network(f"{ADDRESSES.host}/30", strict=False),
    )
    assert not pods.overlaps(services)
    assert not pods.overlaps(cable)
    assert not services.overlaps(cable)
    assert all(part.subnet_of(network(ADDRESSES.all)) for part in (pods, services, cable))
    assert ipaddress.IPv4Address(ADDRESSES.node) in cable
    assert {ipaddress.IPv4Address(a) in services for a in (ADDRESSES.dns_service, ADDRESSES.kubernetes_service)} == {
        True
    }
    assert len(ADDRESSES.interface) <= 15


def test_no_secret_stands_in_a_command(node: Node) -> None:
    tokens = [line.partition(",")[0] for line in configuration_files(node)["tokens.csv"].splitlines()]
    commands = json.dumps([component.command for component in components(node).values()])
    assert len(tokens) == 6
    assert len(set(tokens)) == 6
    assert not [token for token in tokens if token in commands]


def test_two_clusters_have_different_secrets(node: Node) -> None:
    assert configuration_files(node)["tokens.csv"] != configuration_files(node)["tokens.csv"]


def test_every_program_keeps_what_it_writes_in_the_cluster_folder(node: Node) -> None:
    files = configuration_files(node)
    for text in [*files.values(), *(argument for one in components(node).values() for argument in one.command)]:
        for path in re.findall(r"(?:^|[=\" ])(/[a-z][^\s\",]*)", text):
            allowed = ("/programs/", "/usr/lib/cni", "/run/containerd", "/scanplane-some", "/usr/local/sbin:")
            assert path.startswith((str(node.folder), *allowed)), path


def test_each_kubeconfig_holds_one_context_and_the_authority(node: Node) -> None:
    files = {name: text for name, text in configuration_files(node).items() if name.startswith("kubeconfigs/")}
    for text in files.values():
        document = json.loads(text)
        assert document["current-context"] == "scanplane-some"
        assert len(document["contexts"]) == len(document["users"]) == 1
        assert document["clusters"][0]["cluster"]["certificate-authority"].endswith("ca.crt")
        assert "insecure" not in text


def test_anonymous_requests_are_refused_by_the_kubelet(node: Node) -> None:
    kubelet = json.loads(configuration_files(node)["kubelet.yaml"])
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert f"--hostname-override={NODE}" in components(node)["kubelet"].command


def test_pods_are_told_the_dns_server_that_the_service_names(node: Node) -> None:
    kubelet = json.loads(configuration_files(node)["kubelet.yaml"])
    service = next(one for one in manifests(node) if one["kind"] == "Service")
    assert kubelet["clusterDNS"] == [service["spec"]["clusterIP"]] == [ADDRESSES.dns_service]


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_is_cached_by_its_version(name: str) -> None:
    assert re.fullmatch(r"[a-z-]+-v\d[\w.-]*", cache_folder(name).name)
    assert (kubernetes_build.MODULES / PROGRAMS[name].folder / "go.mod").exists()


def test_every_module_is_at_the_version_of_the_cluster() -> None:
    wanted = "v0" + kubernetes_version().removeprefix("v1")
    for module in kubernetes_build.MODULES.rglob("go.mod"):
        versions = re.findall(r"^\s+k8s\.io/client-go (v\S+)", module.read_text(), re.MULTILINE)
        assert set(versions) <= {wanted}, module


LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via something
beta==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:ba
beta==2.1 ; python_full_version >= '3.12' \\
    --hash=sha256:bb
gamma==3.0 ; sys_platform == 'win32' \\
    --hash=sha256:ca
delta[extra]==4.0 ; platform_python_implementation != 'PyPy' and sys_platform != 'cygwin' \\
    --hash=sha256:da
"""


@pytest.mark.parametrize(("python", "beta"), [("3.11", "2.0 --hash=sha256:ba"), ("3.13", "2.1 --hash=sha256:bb")])
def test_a_lock_is_read_for_the_python_of_the_image(python: str, beta: str) -> None:
    assert requirements_for(LOCK, python).splitlines() == [
        "alpha==1.0 --hash=sha256:aa --hash=sha256:ab",
        f"beta=={beta}",
        "delta[extra]==4.0 --hash=sha256:da",
    ]


def test_the_build_needs_no_more_than_what_is_copied_for_it() -> None:
    containerfile = (REPOSITORY / "images/Containerfile").read_text()
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!").partition("/")[0] for line in ignored if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", containerfile, re.MULTILINE)
        for source in line.split()
    ]
    assert len(copied) > 5
    for source in copied:
        assert source.partition("/")[0] in allowed & set(CONTEXT), source
        assert (REPOSITORY / source).exists(), source
    assert "wheels" in allowed


def test_images_run_as_no_root_and_say_so() -> None:
    for recipe in [REPOSITORY / "images/Containerfile", *RECIPES.glob("*.containerfile")]:
        users = re.findall(r"^USER (\d+):(\d+)$", recipe.read_text(), re.MULTILINE)
        assert users or recipe.stem == "base", recipe
        assert all(int(user) > 0 for user, _ in users)
