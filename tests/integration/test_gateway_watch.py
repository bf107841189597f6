"""``scanplane watch`` as a process, beside a gateway."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from support.gateway import PATIENCE_S, SECOND_NS, TICK_NS, part_of, running_gateway, signal_of
from support.servers import free_port

PROGRAM = "import typer; from scanplane.cli.watch import watch; typer.run(watch)"


async def start(*arguments: str, **environment: str) -> Process:
    variables = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "140", **environment}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=PIPE, stderr=PIPE, env=variables
    )


async def finished(process: Process) -> tuple[int, str, str]:
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_once_shows_boards_and_signals_without_colours_and_ends() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(data_label="replay"), signals=[signal_of(1)])
        code, output, errors = await finished(await start(gateway.role.url, "--once"))
    assert (code, errors) == (0, "")
    assert "us-stocks/gappers" in output
    assert "+5.00 %" in output
    assert "replay" in output
    assert "gap_percent 5.1 >= 4" in output
    assert "\x1b" not in output


async def test_json_lines_are_the_messages_of_the_topics() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of())
        process = await start(gateway.role.url, "boards/us-stocks/*", "--json")
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            first = json.loads(await process.stdout.readline())
            await gateway.analyst.write(part_of(tick_ns=TICK_NS + SECOND_NS))
            second = json.loads(await process.stdout.readline())
        process.terminate()
        await process.wait()
    assert [(each["type"], each["topic"]) for each in (first, second)] == [
        ("snapshot", "boards/us-stocks/gappers"),
        ("update", "boards/us-stocks/gappers"),
    ]
    assert second["data"]["tickNs"] == TICK_NS + SECOND_NS


async def test_it_says_once_that_nobody_is_there() -> None:
    port = free_port()
    process = await start(f"127.0.0.1:{port}", "--json")
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        told = (await process.stderr.readline()).decode()
        async with running_gateway(port=port) as gateway:
            await gateway.analyst.write(part_of())
            assert process.stdout is not None
            assert json.loads(await process.stdout.readline())["type"] == "snapshot"
    process.terminate()
    _, rest = await process.communicate()
    assert told.startswith(f"scanplane: 127.0.0.1:{port} is not there (")
    assert told.endswith("; trying again\n")
    assert b"Traceback" not in rest


async def test_it_comes_back_when_the_gateway_does() -> None:
    async with running_gateway() as gateway:
        port = gateway.role.port
        await gateway.analyst.write(part_of())
        process = await start(f"127.0.0.1:{port}", "boards/*", "--json")
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            await process.stdout.readline()
    async with running_gateway(port=port) as again:
        await again.analyst.write(part_of(rows=[("BACK", 1.0)]))
        async with asyncio.timeout(PATIENCE_S):
            line = await process.stdout.readline()
    process.terminate()
    await process.wait()
    assert b"BACK" in line


async def test_a_pipe_that_is_closed_ends_it_quietly() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of())
        process = await start(gateway.role.url, "--json")
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `head` does
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while process.returncode is None:
                number += 1
                await gateway.analyst.write(part_of(tick_ns=TICK_NS + number))
                await asyncio.sleep(0.02)
        assert process.stderr is not None
        assert (process.returncode, await process.stderr.read()) == (0, b"")


async def test_a_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    secrets = {"dashboards": {"alice": "alices-long-token"}}
    file = tmp_path / "token"
    file.write_text("alices-long-token\n")
    async with running_gateway(secrets=secrets, tokens_secret="dashboards") as gateway:
        await gateway.analyst.write(part_of())
        url = gateway.role.url
        by_file = await finished(await start(url, "--once", "--token-file", str(file)))
        by_variable = await finished(await start(url, "--once", SCANPLANE_TOKEN="alices-long-token"))
        without = await finished(await start(url, "--once"))
        wrong = await finished(await start(url, "--once", SCANPLANE_TOKEN="wrong-token"))
    assert (by_file[0], by_variable[0]) == (0, 0)
    assert "us-stocks/gappers" in by_variable[1]
    assert without[0] == 2
    assert "set SCANPLANE_TOKEN" in without[2]
    assert wrong[0] == 1
    assert "the token is not known" in wrong[2]
    assert "wrong-token" not in wrong[2]


async def test_errors_are_one_line_with_an_exit_code(tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        bad_topic = await finished(await start(gateway.role.url, "nothing/at/all", "--once"))
        port = gateway.role.port
    no_text = tmp_path / "no-text"
    no_text.write_bytes(b"\xff\xfe")
    nobody = await finished(await start(f"127.0.0.1:{port}", "--once"))
    bad_url = await finished(await start("ftp://host", "--once"))
    bad_port = await finished(await start("127.0.0.1:80800", "boards/*"))
    no_topic = await finished(await start("/tmp/some.yaml"))
    no_file = await finished(await start("--once", "--token-file", str(tmp_path / "missing")))
    no_token = await finished(await start("--once", "--token-file", str(no_text)))
    for (code, output, errors), expected, hint in (
        (bad_topic, 2, "a topic begins with boards"),
        (nobody, 1, "can't be reached"),
        (bad_url, 2, "is no gateway's URL"),
        (bad_port, 2, "is no gateway's URL"),
        (no_topic, 2, "write a topic such as boards/us-stocks/*"),
        (no_file, 2, "can't read the token"),
        (no_token, 2, "is not UTF-8 text"),
    ):
        assert (code, output) == (expected, "")
        assert errors.count("\n") == 1
        assert hint in errors
