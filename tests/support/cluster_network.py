"""Addresses of the one-node cluster, and the cable between its network namespace and this machine.

The node has a network of its own: nothing of it can be reached from outside of this machine, its ports and iptables are nobody
else's, and all of it goes when the namespace goes. This machine sees one end of the cable and a route to pods and Services.
"""

import ipaddress
import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Addresses", "connect", "free_blocks", "networks_in_use"]

Network = ipaddress.IPv4Network

FIRST_BLOCK = 200
LAST_BLOCK = 250
NAMESPACE_WITHIN_SECONDS = 10.0


@dataclass(frozen=True)
class Addresses:
    """The addresses of one cluster: everything is in ``10.<block>.0.0/16``."""

    block: int

    @property
    def all(self) -> str:
        """The network of pods, Services and node."""
        return f"10.{self.block}.0.0/16"

    @property
    def pods(self) -> str:
        """The network of the pods."""
        return f"10.{self.block}.0.0/24"

    @property
    def services(self) -> str:
        """The network of the Services."""
        return f"10.{self.block}.1.0/24"

    @property
    def kubernetes_service(self) -> str:
        """Where pods find the API server."""
        return f"10.{self.block}.1.1"

    @property
    def dns_service(self) -> str:
        """Where pods find the DNS server."""
        return f"10.{self.block}.1.10"

    @property
    def host(self) -> str:
        """This machine's end of the cable."""
        return f"10.{self.block}.255.1"

    @property
    def node(self) -> str:
        """The node's end of the cable."""
        return f"10.{self.block}.255.2"

    @property
    def interface(self) -> str:
        """Name of this machine's end of the cable."""
        return f"scanplane{self.block}"


def free_blocks(in_use: Iterable[Network]) -> list[int]:
    """Return the blocks none of whose addresses are *in_use*."""
    taken = list(in_use)
    blocks = range(FIRST_BLOCK, LAST_BLOCK + 1)
    return [block for block in blocks if not any(Network(Addresses(block).all).overlaps(other) for other in taken)]


def networks_in_use() -> list[Network]:
    """Return every IPv4 network that this machine has an address in or a route to, the default route aside."""
    routes = json.loads(_ip("-j", "-4", "route", "show", "table", "all"))
    destinations = [route["dst"] for route in routes if route["dst"] != "default"]
    return [Network(destination, strict=False) for destination in destinations]


def connect(process: int) -> Addresses:
    """Lay a cable into the network namespace of *process*, which is about to make one; return the addresses.

    Raises RuntimeError when it makes none, or when no block of addresses is free.
    """
    _wait_for_namespace(process)
    for block in free_blocks(networks_in_use()):
        addresses = Addresses(block)
        laid = ["link", "add", addresses.interface, "type", "veth", "peer", "name", "eth0", "netns", str(process)]
        if subprocess.run(["ip", *laid], capture_output=True, check=False).returncode == 0:
            break  # else another cluster has just taken the block
    else:
        raise RuntimeError(f"no network 10.{FIRST_BLOCK}.0.0/16 to 10.{LAST_BLOCK}.0.0/16 is free on this machine")
    _ip("address", "add", f"{addresses.host}/30", "dev", addresses.interface)
    _ip("link", "set", addresses.interface, "up")
    inside = ("nsenter", "--target", str(process), "--net", "ip")
    for command in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{addresses.node}/30", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", addresses.host),
    ):
        _run(*inside, *command)
    _ip("route", "add", addresses.pods, "via", addresses.node)
    _ip("route", "add", addresses.services, "via", addresses.node)
    return addresses


def _wait_for_namespace(process: int) -> None:
    own = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + NAMESPACE_WITHIN_SECONDS
    while Path(f"/proc/{process}/ns/net").readlink() == own:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no network namespace was made within {NAMESPACE_WITHIN_SECONDS:.0f} s")
        time.sleep(0.01)  # the kernel tells nobody when a process has a new namespace


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed: {completed.stderr.strip()}")
    return completed.stdout
