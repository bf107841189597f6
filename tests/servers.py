"""Make sure that the servers which the tests start are installed: ``python tests/servers.py install``.

Uses what is there; as root on Debian or Ubuntu it installs what is missing; elsewhere it says in one line what is.
The distribution's packages start their services by themselves: that is held back while they are installed, so that
nothing runs or takes a port that the tests did not ask for.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SERVERS = {
    "rabbitmq-server": ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"),
    "redis-server": ("redis-server",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    # The one-node cluster and the images for it; see tests/cluster.
    "containerd": ("containerd",),
    "runc": ("runc",),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", "/opt/cni/bin/ptp"),
    "iptables": ("iptables",),
    "iproute2": ("ip",),
    "buildah": ("buildah",),
    "mmdebstrap": ("mmdebstrap",),
    "openssl": ("openssl",),
}
"""Debian package → programs of which one must be there."""


def missing_packages() -> list[str]:
    """Return the packages none of whose programs is on this machine."""
    return [package for package, programs in SERVERS.items() if not any(shutil.which(program) for program in programs)]


def _run(command: list[str], environment: dict[str, str]) -> None:
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode:
        tail = (completed.stderr or completed.stdout).strip().splitlines()
        sys.exit(f"`{' '.join(command)}` failed: {tail[-1] if tail else completed.returncode}")


def _install(packages: list[str]) -> None:
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # invoke-rc.d asks this program before it starts a service; 101 means "not allowed".
    policy = Path("/usr/sbin/policy-rc.d")
    own_policy = not policy.exists()
    try:
        if own_policy:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        _run(["apt-get", "update", "-qq"], environment)
        _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environment)
    finally:
        if own_policy:
            policy.unlink(missing_ok=True)


def install() -> None:
    """Install what is missing, or end with one line that says what is missing."""
    packages = missing_packages()
    if not packages:
        print("The servers for the tests are installed.")  # noqa: T201  # a command's answer
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Install {', '.join(packages)} with your package manager; the tests start them from PATH.")
    print(f"Installing {', '.join(packages)} ...")  # noqa: T201  # a command's answer
    _install(packages)
    if still_missing := missing_packages():
        sys.exit(f"Still missing after the installation: {', '.join(still_missing)}.")


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit("Usage: python tests/servers.py install")
    install()
