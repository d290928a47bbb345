"""The control socket: who may ask, what may be asked, and what never leaks."""

import asyncio
import io
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from wardgate import control
from wardgate.control import (
    MAX_REQUEST_BYTES,
    NOTE_NAME,
    SOCKET_NAME,
    ControlServer,
    NoServer,
    Progress,
    RemoteError,
    call,
    kind_of,
    run_operation,
)
from wardgate.crypto import Secret
from wardgate.errors import AlreadyExists, Conflict, NotFound, ServerUnavailable, SettingsError, StorageUnavailable, UsageError

Ask = Callable[..., Awaitable[dict[str, Any]]]


class Seen:
    """What the operations below were given."""

    def __init__(self) -> None:
        self.secrets: list[object] = []
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()


async def greet(seen: Seen, name: str, times: int = 1, mode: Literal["kind", "rude"] = "kind") -> dict[str, Any]:
    return {"said": [f"{mode} hello {name}"] * times}


async def keep(seen: Seen, password: Secret, hint: Secret | None = None) -> dict[str, Any]:
    seen.secrets += [password, hint]
    return {"kept": True}


async def count(seen: Seen, to: int, progress: Progress) -> dict[str, Any]:
    for number in range(to):
        progress({"done": number})
        await asyncio.sleep(0)
    return {"to": to}


async def fail(seen: Seen, how: str) -> dict[str, Any]:
    raise {
        "conflict": Conflict("somebody was faster"),
        "exists": AlreadyExists("there is one"),
        "unavailable": StorageUnavailable("disk full"),
        "missing": NotFound("nobody"),
        "bug": ValueError("hunter2hunter2 in a message"),
    }[how]


async def hang(seen: Seen) -> dict[str, Any]:
    seen.started.set()
    try:
        await asyncio.Event().wait()
    finally:
        seen.cancelled.set()
    return {}


OPERATIONS = {"greet": greet, "keep": keep, "count": count, "fail": fail, "hang": hang}


async def run(name: str, params: Mapping[str, object], seen: Seen | None = None) -> Mapping[str, object]:
    return await run_operation(OPERATIONS, seen or Seen(), name, params, lambda event: None)


# --- parameters ----------------------------------------------------------------------------------------------------------


async def test_parameters_are_checked_against_the_signature() -> None:
    assert await run("greet", {"name": "ada", "times": 2}) == {"said": ["kind hello ada"] * 2}
    for params, told in (
        ({}, "'name' is missing"),
        ({"name": "ada", "tiems": 2}, "unknown parameter 'tiems'"),
        ({"name": 5}, "'name' has the wrong type"),
        ({"name": "ada", "times": "2"}, "'times' has the wrong type"),
        ({"name": "ada", "times": True}, "'times' has the wrong type"),
        ({"name": "ada", "mode": "odd"}, "'mode' has the wrong type"),
        ({"name": "ada", "seen": 1}, "unknown parameter 'seen'"),
    ):
        with pytest.raises(UsageError, match=told):
            await run("greet", params)
    with pytest.raises(UsageError, match="unknown parameter 'progress'"):
        await run("count", {"to": 1, "progress": 1})
    with pytest.raises(UsageError, match="knows no operation 'rm'"):
        await run("rm", {})


async def test_a_secret_is_wrapped_before_the_operation_sees_it() -> None:
    seen = Seen()
    await run("keep", {"password": "hunter2hunter2"}, seen)
    assert seen.secrets == [Secret("hunter2hunter2"), None]
    await run("keep", {"password": "latin \udce9"}, seen)
    assert seen.secrets[2] == Secret(b"latin \xe9")
    with pytest.raises(UsageError, match="'password' is not text"):
        await run("keep", {"password": "\ud800"})
    with pytest.raises(UsageError, match="'password' must be text") as caught:
        await run("keep", {"password": ["hunter2hunter2"]})
    assert "hunter2" not in str(caught.value)


async def test_a_wrong_parameter_is_not_repeated_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        await run("greet", {"name": "ada", "times": "hunter2hunter2"})
    assert "hunter2" not in str(caught.value)


# --- the socket ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def asked_by() -> list[str]:
    return []


@pytest.fixture
async def server(tmp_path: Path, seen: Seen, asked_by: list[str]) -> AsyncIterator[ControlServer]:
    async def answer(name: str, params: Mapping[str, object], progress: Progress, actor: str) -> Mapping[str, object]:
        asked_by.append(actor)
        return await run_operation(OPERATIONS, seen, name, params, progress)

    made = ControlServer(tmp_path, answer)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def ask(tmp_path: Path, server: ControlServer) -> Ask:
    async def asking(name: str, on_progress: Progress | None = None, /, **params: object) -> dict[str, Any]:
        return await asyncio.to_thread(call, tmp_path, name, params, on_progress)

    return asking


async def test_an_operation_is_run_and_its_caller_named(ask: Ask, asked_by: list[str]) -> None:
    assert await ask("greet", name="ada") == {"said": ["kind hello ada"]}
    assert asked_by == [control.actor_of(os.geteuid())]
    assert asked_by[0].startswith("cli:")


async def test_the_socket_is_its_owners_alone(tmp_path: Path, server: ControlServer) -> None:
    mode = (tmp_path / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_another_user_is_not_answered(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_is_allowed", lambda writer: False)
    with pytest.raises(ServerUnavailable, match="refused this user"):
        await ask("greet", name="ada")


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell who asks")
async def test_only_our_user_and_root_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Writer:
        def get_extra_info(self, name: str) -> None: ...

    for uid, allowed in ((os.geteuid(), True), (0, True), (os.geteuid() + 1, False), (65534, False)):
        monkeypatch.setattr(control, "_peer_uid", lambda connection, uid=uid: uid)
        assert control._is_allowed(Writer()) is allowed  # type: ignore[arg-type]


async def test_nothing_is_sent_to_a_socket_that_another_user_serves(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_peer_uid", lambda connection: 65533)
    with pytest.raises(SettingsError, match=r"served by user id 65533, .*: nothing was sent"):
        await ask("keep", password="hunter2hunter2")


async def test_a_secret_travels_to_the_server_and_into_no_log(ask: Ask, seen: Seen) -> None:
    with structlog.testing.capture_logs() as lines:
        await ask("keep", password=Secret("hunter2hunter2"))
        with pytest.raises(RemoteError):
            await ask("greet", name="ada", times="hunter2hunter2")
        with pytest.raises(RemoteError) as caught:
            await ask("fail", how="bug")
    assert seen.secrets == [Secret("hunter2hunter2"), None]
    assert "hunter2" not in repr(lines)
    assert "hunter2" not in caught.value.message
    assert caught.value.code == "internal"
    assert "test_control.py" in repr(lines)


@pytest.mark.parametrize(
    ("how", "code", "kind"),
    [
        ("conflict", "conflict", "conflict"),
        ("exists", "already_exists", "conflict"),
        ("unavailable", "storage_unavailable", "unavailable"),
        ("missing", "not_found", "refused"),
    ],
)
async def test_an_error_keeps_its_code_and_kind_on_the_way(ask: Ask, how: str, code: str, kind: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await ask("fail", how=how)
    assert (caught.value.code, kind_of(caught.value)) == (code, kind)


async def test_progress_arrives_in_order(ask: Ask) -> None:
    events: list[Mapping[str, object]] = []
    assert await ask("count", events.append, to=50) == {"to": 50}
    assert events == [{"done": number} for number in range(50)]


async def test_whoever_stops_reading_our_output_is_not_told_that_the_server_hung_up(ask: Ask) -> None:
    def gone(_: Mapping[str, object]) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await ask("count", gone, to=50)


async def test_a_caller_that_hangs_up_cancels_its_operation(tmp_path: Path, server: ControlServer, seen: Seen) -> None:
    _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    writer.write(b'{"operation": "hang", "params": {}}\n')
    await asyncio.wait_for(seen.started.wait(), 10)
    writer.close()
    await asyncio.wait_for(seen.cancelled.wait(), 10)


async def test_stopping_cancels_what_runs_and_removes_the_socket(tmp_path: Path, server: ControlServer, seen: Seen) -> None:
    _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    writer.write(b'{"operation": "hang", "params": {}}\n')
    await asyncio.wait_for(seen.started.wait(), 10)
    await server.stop()
    assert seen.cancelled.is_set()
    assert not (tmp_path / SOCKET_NAME).exists()
    writer.close()
    with pytest.raises(NoServer):
        call(tmp_path, "greet", {"name": "ada"})


async def raw(data: Path, sent: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(data / SOCKET_NAME, limit=1 << 20)
    writer.write(sent)
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b'{"operation": "greet"}\n',
        b'{"operation": 5, "params": {}}\n',
        b'{"operation": "greet", "params": []}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
async def test_what_is_no_request_is_refused(tmp_path: Path, server: ControlServer, sent: bytes) -> None:
    answer = await raw(tmp_path, sent)
    assert answer["error"]["code"] == "usage"


async def test_a_request_has_a_greatest_size(tmp_path: Path, server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await raw(tmp_path, b"x" * (MAX_REQUEST_BYTES + 10))
    assert "larger than" in answer["error"]["message"]
    with pytest.raises(UsageError, match="larger than"):
        call(tmp_path, "greet", {"name": "x" * MAX_REQUEST_BYTES})


async def test_a_caller_that_says_nothing_is_let_go(tmp_path: Path, server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT_S", 0.05)
    assert "did not come in time" in (await raw(tmp_path, b'{"operation"'))["error"]["message"]


async def test_callers_beyond_the_limit_are_turned_away(
    tmp_path: Path, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CONNECTIONS", 1)
    _, first = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    await raw_until_busy(server)
    reader, second = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    first.close()
    second.close()


async def raw_until_busy(server: ControlServer) -> None:
    while not server._connections:
        await asyncio.sleep(0)


async def test_the_server_says_that_it_still_works(tmp_path: Path, server: ControlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HEARTBEAT_S", 0.01)
    reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    writer.write(b'{"operation": "hang", "params": {}}\n')
    assert await asyncio.wait_for(reader.readexactly(3), 10) == b"\n\n\n"
    writer.close()


def test_a_caller_waits_on_while_the_server_says_so() -> None:
    lines = io.BytesIO(b'\n\n{"progress": {"done": 1}}\n\n{"result": {"a": 1}}\n')
    assert control._await_result(lines, None) == {"a": 1}
    with pytest.raises(ServerUnavailable, match="hung up before it answered"):
        control._await_result(io.BytesIO(b'\n{"result": {"a'), None)


async def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SILENCE_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / SOCKET_NAME))
        listener.listen()
        with pytest.raises(ServerUnavailable, match="said nothing"):
            await asyncio.to_thread(call, tmp_path, "greet", {})


def test_without_a_server_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(NoServer):
        call(tmp_path, "greet", {})
    (tmp_path / SOCKET_NAME).write_text("no socket")
    with pytest.raises(NoServer):
        call(tmp_path, "greet", {})


def test_a_socket_of_a_dead_server_counts_as_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / SOCKET_NAME))
    with pytest.raises(NoServer):
        call(tmp_path, "greet", {})


async def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path, seen: Seen) -> None:
    data = tmp_path / ("d" * 120)
    data.mkdir()

    async def answer(name: str, params: Mapping[str, object], progress: Progress, actor: str) -> Mapping[str, object]:
        return await run_operation(OPERATIONS, seen, name, params, progress)

    server = ControlServer(data, answer)
    await server.start()
    place = Path((data / NOTE_NAME).read_text().strip())
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert await asyncio.to_thread(call, data, "greet", {"name": "ada"}) == {"said": ["kind hello ada"]}
    await server.stop()
    assert not place.parent.exists()
    assert not (data / NOTE_NAME).exists()


async def test_a_server_that_starts_after_a_crash_takes_the_socket_over(tmp_path: Path, seen: Seen) -> None:
    async def answer(name: str, params: Mapping[str, object], progress: Progress, actor: str) -> Mapping[str, object]:
        return await run_operation(OPERATIONS, seen, name, params, progress)

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(tmp_path / SOCKET_NAME))
    server = ControlServer(tmp_path, answer)
    await server.start()
    assert await asyncio.to_thread(call, tmp_path, "greet", {"name": "ada"})
    await server.stop()
