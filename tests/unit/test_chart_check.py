"""What `helm test` runs in the cluster, run here against servers that answer as the operator and a gateway do."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.servers import free_port

CHECK = Path(__file__).resolve().parents[2] / "charts" / "scanplane" / "files" / "check.py"
Pages = Mapping[str, tuple[int, str]]


def status(**namespace: object) -> tuple[int, str]:
    """Return what the operator's /status says of one namespace."""
    return 200, json.dumps(
        {"namespaces": [{"namespace": "desk", "problem": "", "lastPassAgeSeconds": 3.2, "gateway": ""} | namespace]}
    )


READY: Pages = {"/readyz": (200, "ok"), "/status": status()}


@contextmanager
def serving(pages: Pages) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = pages.get(self.path, (404, "not found"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Pages], str]]:
    with ExitStack() as stack:
        yield lambda pages: stack.enter_context(serving(pages))


def check(*arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, str(CHECK), "--patience=0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_an_installation_in_order_passes(serve: Callable[[Pages], str]) -> None:
    gateway = serve({"/healthz": (200, "ok")})
    operator = serve({**READY, "/status": status(gateway=gateway)})
    code, lines = check(f"--operator={operator}", f"--tcp={gateway.removeprefix('http://')}")
    assert lines == [
        "ok      operator is ready",
        "ok      operator reconciles, the custom resources are served (desk)",
        f"ok      {gateway.removeprefix('http://')} takes connections",
        f"ok      {gateway} answers",
    ]
    assert code == 0


def test_before_the_first_data_plane_there_is_no_gateway_and_that_is_right(serve: Callable[[Pages], str]) -> None:
    code, lines = check(f"--operator={serve(READY)}")
    assert lines[-1] == "ok      operator reconciles, the custom resources are served (desk)"
    assert code == 0


def test_a_gateway_that_does_not_answer_fails(serve: Callable[[Pages], str]) -> None:
    gateway = f"http://127.0.0.1:{free_port()}"
    code, lines = check(f"--operator={serve({**READY, '/status': status(gateway=gateway)})}")
    assert lines[-1].startswith(f"FAILED  {gateway} answers: {gateway}/healthz does not answer")
    assert code == 1


def test_an_operator_without_anything_to_look_after_is_in_order(serve: Callable[[Pages], str]) -> None:
    code, lines = check(f"--operator={serve({**READY, '/status': (200, json.dumps({'namespaces': []}))})}")
    assert lines[-1].endswith("(no namespace holds any yet)")
    assert code == 0


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({**READY, "/readyz": (503, "no pass yet")}, "/readyz says 503: no pass yet"),
        ({**READY, "/status": status(lastPassAgeSeconds=601)}, "namespace desk: the last pass was 601 s ago"),
        ({**READY, "/status": status(problem="pods is forbidden")}, "namespace desk: pods is forbidden"),
    ],
)
def test_an_operator_that_does_not_do_its_work_fails(serve: Callable[[Pages], str], pages: Pages, told: str) -> None:
    code, lines = check(f"--operator={serve(pages)}")
    (failed,) = [line for line in lines if line.startswith("FAILED")]
    assert told in failed
    assert code == 1


def test_every_check_is_told_though_the_first_fails(serve: Callable[[Pages], str]) -> None:
    port = free_port()
    there = serve({}).removeprefix("http://")
    code, lines = check(f"--operator=http://127.0.0.1:{port}", f"--tcp=127.0.0.1:{port}", f"--tcp={there}")
    assert [line.split()[0] for line in lines] == ["FAILED", "FAILED", "FAILED", "ok"]
    assert all("see kubectl" in line for line in lines[:3])
    assert code == 1


def test_it_waits_for_what_is_still_on_its_way() -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, str(CHECK), "--patience=20", f"--operator=http://{address}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        server = ThreadingHTTPServer(("127.0.0.1", int(address.rpartition(":")[2])), _Ready)
        with server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            output, _ = waiting.communicate(timeout=30)
            server.shutdown()
            thread.join()
    assert waiting.returncode == 0, output


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(READY[self.path][1].encode())

    def log_message(self, *_: object) -> None:
        pass
