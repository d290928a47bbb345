"""The control socket: how a command asks the running server to do something.

A Unix socket of mode 0600 in the data directory; the server also looks at the peer's user id. One request for a connection,
each a line of JSON:

    -> {"operation": "user.add", "params": {...}}
    <- {"progress": {...}}        any number of times; an empty line says that the work goes on
    <- {"result": {...}}          or  {"error": {"code": "...", "kind": "...", "message": "..."}}

Hanging up cancels the operation. With no server, a command runs the same operation in its own process: `run_operation` is the
one way in. Parameters of type `Secret` are wrapped before anything else sees them, and parameters are never logged.
"""

import asyncio
import contextlib
import inspect
import json
import os
import pwd
import socket
import stat
import struct
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from wardgate.crypto import Secret
from wardgate.errors import AlreadyExists, Conflict, ServerUnavailable, SettingsError, UnavailableError, UsageError, WardgateError

SOCKET_NAME: Final = "control.sock"
NOTE_NAME: Final = "control.path"
# sun_path holds 108 octets on Linux and 104 on the BSDs, with the zero at the end.
MAX_SOCKET_PATH_BYTES: Final = 100
# A whole document of 4 MiB, with what JSON adds to it. Imports are cut into pieces by the command.
MAX_REQUEST_BYTES: Final = 6 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
MAX_CONNECTIONS: Final = 16
REQUEST_TIMEOUT_S: Final = 10.0
HEARTBEAT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0
_HUNG_UP: Final = "the server hung up before it answered: it was stopped, has too many callers, or refused this user; see its log"

Progress = Callable[[Mapping[str, object]], None]
Operation = Callable[..., Awaitable[Mapping[str, object]]]
"""`async def operation(context, name: str, password: Secret, progress: Progress) -> dict`; `progress` only where it is wanted."""
Runner = Callable[[str, Mapping[str, object], Progress, str], Awaitable[Mapping[str, object]]]
"""Runs an operation by name: (name, parameters, progress, who asks)."""


class NoServer(ServerUnavailable):
    """Nothing answers at the control socket."""


class RemoteError(WardgateError):
    """What the server answered. `kind` stands for the class that the error had there."""

    def __init__(self, message: str, code: str, kind: str) -> None:
        super().__init__(message, code)
        self.kind = kind


def kind_of(error: WardgateError) -> str:
    """`unavailable`, `conflict`, `usage` or `refused`: what a caller does differently."""
    if isinstance(error, RemoteError):
        return error.kind
    if isinstance(error, UnavailableError):
        return "unavailable"
    if isinstance(error, Conflict | AlreadyExists):
        return "conflict"
    return "usage" if isinstance(error, UsageError) else "refused"


async def run_operation(
    operations: Mapping[str, Operation], context: object, name: str, params: Mapping[str, object], progress: Progress
) -> Mapping[str, object]:
    """Run one operation by name. Raises UsageError for an unknown name or parameters that do not fit."""
    operation = operations.get(name)
    if operation is None:
        raise UsageError(f"the server knows no operation {name[:64]!r}: it is another release than this command; restart it")
    return await operation(context, **_bind(operation, name, params, progress))


# --- parameters --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _parameters(operation: Operation) -> Mapping[str, inspect.Parameter]:
    """Every parameter but the first, the context."""
    return dict(list(inspect.signature(operation, eval_str=True).parameters.items())[1:])


def _bind(operation: Operation, name: str, params: Mapping[str, object], progress: Progress) -> dict[str, object]:
    known = _parameters(operation)
    unknown = sorted(set(params) - set(known) | set(params) & {"progress"})
    if unknown:
        raise UsageError(f"{name}: unknown parameter {unknown[0][:64]!r}")
    bound: dict[str, object] = {}
    for key, parameter in known.items():
        if key == "progress":
            bound[key] = progress
        elif key in params:
            bound[key] = _value(name, key, parameter.annotation, params[key])
        elif parameter.default is inspect.Parameter.empty:
            raise UsageError(f"{name}: the parameter {key!r} is missing")
    return bound


def _value(name: str, key: str, annotation: Any, value: object) -> object:
    if annotation is Secret or Secret in get_args(annotation):
        if value is None and type(None) in get_args(annotation):
            return None
        if not isinstance(value, str | Secret):
            raise UsageError(f"{name}: the parameter {key!r} must be text")
        return value if isinstance(value, Secret) else _secret(name, key, value)
    # Only here: a command that asks a running server does not load it.
    from pydantic import ValidationError

    try:
        return _adapter(annotation).validate_json(json.dumps([value]))[0]
    except (ValidationError, TypeError, ValueError) as error:
        # The message of the validation would show the value.
        raise UsageError(f"{name}: the parameter {key!r} has the wrong type") from error


def _secret(name: str, key: str, text: str) -> Secret:
    """Octets that were no UTF-8 travel as lone surrogates; what to make of them is the operation's to say."""
    try:
        return Secret(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise UsageError(f"{name}: the parameter {key!r} is not text") from None


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    around: Any = tuple.__class_getitem__((annotation,))
    return TypeAdapter(around, config=ConfigDict(extra="forbid", strict=True))


# --- the server's side -------------------------------------------------------------------------------------------------


class ControlServer:
    """Listens at the control socket and hands what is asked to `run`."""

    def __init__(self, data: Path, run: Runner) -> None:
        self._data = data
        self._run_operation = run
        self._server: asyncio.Server | None = None
        self._socket = data / SOCKET_NAME
        self._connections: set[asyncio.Task[None]] = set()
        # Only here: a command that asks a server has no log.
        import structlog

        self._log = structlog.get_logger("control")

    async def start(self) -> None:
        """Begin to listen. The caller holds the instance lock, so whatever stands at the path is a leftover."""
        self._socket = _place(self._data)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(self._socket))
            self._socket.chmod(0o600)
        except OSError as error:
            listener.close()
            raise SettingsError(f"the control socket {self._socket} cannot be made: {error.strerror}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES, backlog=64)

    async def stop(self) -> None:
        """Stop listening and cancel what runs."""
        if self._server is not None:
            self._server.close()
        running = list(self._connections)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        _remove_leftovers(self._data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS or not _is_allowed(writer):
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError) as error:
            self._log.debug("control connection ended", cause=type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            name, params = await _request(reader)
        except WardgateError as error:
            _send(writer, {"error": _told(error)})
        else:
            await self._run(name, params, reader, writer)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(writer.drain(), REQUEST_TIMEOUT_S)

    async def _run(
        self, name: str, params: Mapping[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Run the operation while watching whether the caller is still there."""
        actor = actor_of(_peer_uid(writer.get_extra_info("socket")))
        work = asyncio.ensure_future(self._guarded(name, params, lambda event: _send(writer, {"progress": dict(event)}), actor))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            while not work.done():
                done, _ = await asyncio.wait({work, gone}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if gone in done:
                    return
                if not done:
                    writer.write(b"\n")
            _send(writer, work.result())
        finally:
            for future in (work, gone):
                future.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _guarded(self, name: str, params: Mapping[str, object], progress: Progress, actor: str) -> dict[str, object]:
        try:
            return {"result": dict(await self._run_operation(name, params, progress, actor))}
        except WardgateError as error:
            self._log.info("control_operation_refused", operation=name, code=error.code)
            return {"error": _told(error)}
        except Exception as error:  # noqa: BLE001 - a door: one failed command must not end the server
            # Neither the text of the error nor its trace: either may hold parameters.
            self._log.error("control_operation_failed", operation=name, error=type(error).__name__, at=_place_of(error))
            told = f"{name} failed inside the server ({type(error).__name__}); its log says where"
            return {"error": {"code": "internal", "kind": "refused", "message": told}}


async def _request(reader: asyncio.StreamReader) -> tuple[str, Mapping[str, object]]:
    try:
        line = await asyncio.wait_for(reader.readline(), REQUEST_TIMEOUT_S)
    except ValueError:
        raise UsageError(f"the request is larger than {MAX_REQUEST_BYTES} bytes") from None
    except TimeoutError:
        raise UsageError("the request did not come in time") from None
    try:
        request = json.loads(line)
        name, params = request["operation"], request["params"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("the request is not one line of JSON with operation and params") from None
    if not isinstance(name, str) or not isinstance(params, dict):
        raise UsageError("the request is not one line of JSON with operation and params")
    return name, params


def _send(writer: asyncio.StreamWriter, message: Mapping[str, object]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n")


def _told(error: WardgateError) -> dict[str, object]:
    return {"code": error.code, "kind": kind_of(error), "message": error.message}


def _place_of(error: BaseException) -> str:
    """File and line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"


def _is_allowed(writer: asyncio.StreamWriter) -> bool:
    uid = _peer_uid(writer.get_extra_info("socket"))
    return uid is None or uid in (0, os.geteuid())


def _peer_uid(connection: Any) -> int | None:
    """The user at the other end, or None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)


def actor_of(uid: int | None) -> str:
    """Who asks, for the audit trail: `cli:root`."""
    try:
        return f"cli:{pwd.getpwuid(os.geteuid() if uid is None else uid).pw_name}"
    except KeyError:
        return f"cli:#{uid}"


# --- where the socket is -----------------------------------------------------------------------------------------------


def _place(data: Path) -> Path:
    """The path to bind: in the data directory, or in a private directory with a short name when that path is too long."""
    _remove_leftovers(data)
    path = data.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = runtime if os.path.isdir(runtime) and len(os.fsencode(runtime)) < MAX_SOCKET_PATH_BYTES // 2 else None
    short = Path(tempfile.mkdtemp(prefix="wardgate-", dir=parent)) / SOCKET_NAME
    (data / NOTE_NAME).write_text(f"{short}\n", encoding="utf-8")
    return short


def _remove_leftovers(data: Path) -> None:
    noted = _noted(data)
    (data / SOCKET_NAME).unlink(missing_ok=True)
    if noted is not None:
        with contextlib.suppress(OSError):
            noted.unlink(missing_ok=True)
            noted.parent.rmdir()
        (data / NOTE_NAME).unlink(missing_ok=True)


def _noted(data: Path) -> Path | None:
    try:
        text = (data / NOTE_NAME).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    path = Path(text)
    return path if path.name == SOCKET_NAME and path.is_absolute() else None


# --- the command's side ------------------------------------------------------------------------------------------------


def call(data: Path, name: str, params: Mapping[str, object], on_progress: Progress | None = None) -> dict[str, Any]:
    """Ask the running server. Raises NoServer when none answers, RemoteError with what it refused."""
    request = json.dumps({"operation": name, "params": dict(params)}, default=_revealed).encode() + b"\n"
    if len(request) > MAX_REQUEST_BYTES:
        raise UsageError(f"{name}: the request is larger than {MAX_REQUEST_BYTES} bytes")
    connection = _connect(data)
    sent = False
    try:
        connection.sendall(request)
        sent = True
        with connection.makefile("rb") as lines:
            return _await_result(lines, on_progress)
    except TimeoutError as error:
        raise ServerUnavailable(f"the server said nothing for {SILENCE_TIMEOUT_S:.0f} s: look at its log") from error
    except OSError as error:
        if sent and isinstance(error, BrokenPipeError):
            raise  # reading breaks no pipe: whoever reads what we print has enough
        raise ServerUnavailable(_HUNG_UP) from error
    finally:
        connection.close()


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal().decode("utf-8", "surrogateescape")
    raise TypeError(type(value).__name__)


def _await_result(lines: Any, on_progress: Progress | None) -> dict[str, Any]:
    while True:
        line = lines.readline(MAX_ANSWER_BYTES)
        if not line.endswith(b"\n"):
            raise ServerUnavailable(_HUNG_UP)
        if line == b"\n":
            continue
        message = json.loads(line)
        if "result" in message:
            return dict(message["result"])
        if "error" in message:
            error = message["error"]
            raise RemoteError(error["message"], error["code"], error["kind"])
        if on_progress is not None:
            on_progress(message["progress"])


def _connect(data: Path) -> socket.socket:
    path = _noted(data) or data.absolute() / SOCKET_NAME
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(SILENCE_TIMEOUT_S)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise NoServer(f"{path} is not a socket")
        connection.connect(os.fspath(path))
        owner = _peer_uid(connection)
        if owner is not None and owner not in (0, os.geteuid(), data.stat().st_uid):
            raise SettingsError(f"{path} is served by user id {owner}, who does not own {data}: nothing was sent")
    except PermissionError as error:
        connection.close()
        raise SettingsError(f"{path}: not allowed; run this as the user who owns {data}") from error
    except (OSError, ValueError) as error:
        connection.close()
        raise NoServer(f"no server runs on {data}") from error
    except WardgateError:
        connection.close()
        raise
    return connection
