# ruff: noqa: INP001  # a file of the chart, in no package
"""What ``helm test`` runs: asks the operator, the gateways and the bundled services over the network, without an API token.

Runs on the standard library alone. Prints one line for each check, ends with 1 if one failed.
"""

import argparse
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

PATIENCE_S = 120.0
PAUSE_S = 1.0
LONGEST_ANSWER_S = 5.0
OLDEST_PASS_S = 600.0


class NotYetError(Exception):
    """A check does not hold; the text says what is wrong and where to look."""


def main() -> int:
    """Run every check that the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(description="Check an installation of Scanplane.")
    parser.add_argument("--operator", required=True, help="URL of the operator's status port")
    parser.add_argument("--tcp", action="append", default=[], help="host:port that must take connections")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds until a check counts as failed")
    options = parser.parse_args()
    deadline = time.monotonic() + options.patience
    checks: list[tuple[str, Callable[[], str]]] = [
        ("operator is ready", lambda: _ready(options.operator)),
        ("operator reconciles, the custom resources are served", lambda: _reconciles(options.operator)),
        *(
            (f"{address} takes connections", lambda address=address: _takes_connections(address))
            for address in options.tcp
        ),
    ]
    held = [_holds(name, check, deadline) for name, check in checks]
    held += [_holds(f"{url} answers", lambda url=url: _gateway(url), deadline) for url in _gateways(options.operator)]
    return int(not all(held))


def _holds(name: str, check: Callable[[], str], deadline: float) -> bool:
    while True:
        try:
            detail = check()
        except NotYetError as error:
            if time.monotonic() > deadline:
                _say(f"FAILED  {name}: {error}")
                return False
            time.sleep(PAUSE_S)
        else:
            _say(f"ok      {name}{detail}")
            return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _get(url: str) -> str:
    """Return a page. Raises NotYetError."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST_ANSWER_S) as response:  # noqa: S310  # the chart writes the URL
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace").strip()[:300]
        raise NotYetError(f"{url} says {error.code}: {reason}") from error
    except (OSError, ValueError) as error:
        raise NotYetError(f"{url} does not answer: {error}; see kubectl get pods and kubectl logs") from error


def _ready(operator: str) -> str:
    _get(f"{operator}/readyz")
    return ""


def _reconciles(operator: str) -> str:
    """See that each namespace was passed over lately: it can't be where resources are not served or not permitted."""
    namespaces = json.loads(_get(f"{operator}/status"))["namespaces"]
    for each in namespaces:
        if each["problem"]:
            raise NotYetError(f"namespace {each['namespace']}: {each['problem']}")
        if each["lastPassAgeSeconds"] > OLDEST_PASS_S:
            age = each["lastPassAgeSeconds"]
            raise NotYetError(
                f"namespace {each['namespace']}: the last pass was {age:.0f} s ago; see the operator's logs"
            )
    return f" ({', '.join(each['namespace'] for each in namespaces) or 'no namespace holds any yet'})"


def _takes_connections(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=LONGEST_ANSWER_S).close()
    except OSError as error:
        raise NotYetError(f"{error}; see kubectl get pods and kubectl logs") from error
    return ""


def _gateways(operator: str) -> list[str]:
    """Return where the gateways are, as the operator says; before the first DataPlane there is none."""
    try:
        namespaces = json.loads(_get(f"{operator}/status"))["namespaces"]
    except NotYetError:
        return []  # the first check has told it
    return [each["gateway"] for each in namespaces if each["gateway"]]


def _gateway(url: str) -> str:
    _get(f"{url}/healthz")
    return ""


if __name__ == "__main__":
    sys.exit(main())
