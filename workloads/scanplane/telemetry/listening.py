"""Where servers listen."""

import contextlib
import socket

__all__ = ["EVERY_INTERFACE", "ListenError", "bind"]

EVERY_INTERFACE = "*"
"""Listen on every interface, IPv6 too where the machine has it: some clusters have nothing else."""


class ListenError(Exception):
    """The server can't listen where it was told to; the text says why and what to write instead."""


def bind(host: str, port: int, *, option: str = "--status-port", backlog: int = 128) -> socket.socket:
    """Return a socket that listens on *host* and *port* (0 takes a free one). Raises ListenError, which names *option*."""
    if host == EVERY_INTERFACE:
        with contextlib.suppress(OSError):
            if socket.has_dualstack_ipv6():
                listener = socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog
                )
                listener.settimeout(0)
                return listener
        host = "0.0.0.0"  # noqa: S104  # what is asked for
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(
            f"can't listen on {host}:{port}: {reason}; choose another port with {option}, or 0 for a free one"
        ) from error
    listener.settimeout(0)
    return listener
