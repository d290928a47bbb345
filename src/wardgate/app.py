"""Puts the rooms together into processes: the only place that knows all names.

`run_serve` and `run_demo` are what the command line calls. They take the instance lock, bind the sockets, and hand the supervisor
what each child does:

    supervisor (lock, sockets)  ->  writer (on SQLite, with more than one worker)
                                ->  worker 0 (with the control socket), worker 1, ...
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from wardgate import __version__
from wardgate.child import Channel, share_memory
from wardgate.clock_watch import WatchedClock
from wardgate.config.document import parse, to_plain
from wardgate.config.store import first_document
from wardgate.control import MAX_SOCKET_PATH_BYTES
from wardgate.errors import WardgateError
from wardgate.installation import WRITER_SOCKET, Installation
from wardgate.logs import set_up_logs
from wardgate.passwords import PasswordHasher
from wardgate.settings import FILE_NAME, ServeOverrides, StartSettings, apply_overrides, read_settings
from wardgate.sockets import SlotSockets, bind_sockets, can_share, share_out
from wardgate.storage.writer import Progress, listen, run_writer
from wardgate.supervisor import BEAT_EVERY_S, Again, Role, Supervisor
from wardgate.systemd import Notifier
from wardgate.turns import Turns
from wardgate.worker import MAX_WAITING_PASSWORDS, Worker, WorkerPlace

OPEN_FILES: Final = 65_536
# After a commit or a password hash a thread needs the interpreter back; a busy loop lets go of it after this time.
SWITCH_S: Final = 0.0005

log = structlog.get_logger("wardgate.app")


def run_serve(installation: Installation, overrides: ServeOverrides) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    return _run(installation, overrides, as_json=False)


def run_demo(installation: Installation, overrides: ServeOverrides, json_output: bool) -> int:
    """Serve the demo; say what to try first, as one line of JSON on standard output if asked. Returns the exit code."""
    return _run(installation, overrides, as_json=json_output)


def _run(installation: Installation, overrides: ServeOverrides, as_json: bool) -> int:
    in_file, in_force = installation.settings, apply_overrides(installation.settings, overrides)
    set_up_logs(in_force.log)
    _set_limits()
    with installation.lock(), _site(replace(installation, settings=in_force)) as site:
        _set_up_logs(site.installation, in_force)
        _load_for_all(in_force)
        share_memory()
        supervisor = Supervisor(_stages(site), lambda: _reread(site, in_file), _status(site), Notifier.of_this_process())
        supervisor.run(lambda told: _say_serving(site, told["worker 0"], as_json))
    return 0


def _set_up_logs(installation: Installation, settings: StartSettings, place: WorkerPlace | None = None) -> None:
    """Lines say their worker where there are several, and their node where several may write to one collector."""
    among_nodes = bool(settings.server.node) or not settings.database.embedded
    worker = place.slot if place is not None and place.workers > 1 else None
    set_up_logs(settings.log, worker, installation.node_id() if among_nodes else "")


def _set_limits() -> None:
    """No core dump, which would hold every key; and more open files than connections that strangers may hold open at once."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _load_for_all(settings: StartSettings) -> None:
    """What every worker would otherwise load and build by itself, once before the fork: reading a document builds its checks."""
    parse(to_plain(first_document(demo=False)))
    if settings.database.embedded:
        import wardgate.storage.sqlite_client
    else:
        import wardgate.storage.postgres  # noqa: F401


# --- what the children share -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Site:
    """What the supervisor keeps open and its children use. `turns`: None where one worker hashes all passwords."""

    installation: Installation
    sets: tuple[SlotSockets, ...]
    password_threads: int
    turns: Turns | None
    writer: socket.socket | None
    writer_path: Path | None


@contextlib.contextmanager
def _site(installation: Installation) -> Iterator[_Site]:
    """Bind everything that the children will listen on."""
    settings = installation.settings
    workers, threads = _workers(settings), max(1, (os.cpu_count() or 1) - 1)
    # Made here, under the lock, so that all children read the same.
    installation.node_id()
    with contextlib.ExitStack() as cleanup:
        sets = share_out(bind_sockets(settings, next_free=installation.demo), workers)
        for each in sets:
            cleanup.callback(each.close)
        turns = Turns(threads, installation.data) if workers > 1 else None
        path = _writer_path(installation.data, cleanup) if workers > 1 and settings.database.embedded else None
        writer = None
        if path is not None:
            writer = cleanup.enter_context(listen(path))
            cleanup.callback((installation.data / WRITER_SOCKET).unlink, missing_ok=True)
        yield _Site(installation, sets, threads, turns, writer, path)


def _workers(settings: StartSettings) -> int:
    """How many workers: as set, one for each core by default, and one where the system cannot share packets among them."""
    return (settings.server.workers or os.cpu_count() or 1) if can_share() else 1


def _writer_path(data: Path, cleanup: contextlib.ExitStack) -> Path:
    """Where the writer is asked. A path that is too long for a socket leads through the open directory, which children inherit."""
    path = data.absolute() / WRITER_SOCKET
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    cleanup.callback(os.close, directory)
    return Path(f"/proc/self/fd/{directory}") / WRITER_SOCKET


def _stages(site: _Site) -> list[list[Role]]:
    """Who starts when. The demo's first worker makes its users before another one looks for them."""
    workers = [
        Role(f"worker {slot}", lambda channel, again, slot=slot: _work(site, slot, channel, again), sockets.all)  # type: ignore[misc]
        for slot, sockets in enumerate(site.sets)
    ]
    stages = [workers[:1], workers[1:]] if site.installation.demo else [workers]
    if site.writer is not None:
        writer = Role("writer", lambda channel, _: _write(site, channel), (site.writer,), reloads=False)
        stages.insert(0, [writer])
    return [stage for stage in stages if stage]


def _status(site: _Site) -> str:
    host, port = site.sets[0].radius_address
    where = [*([f"RADIUS {host}:{port}"] if port else []), *site.sets[0].urls]
    return f"{len(site.sets)} worker{'s' if len(site.sets) > 1 else ''} on {', '.join(where) or 'no listener'}"


def _say_serving(site: _Site, told: Mapping[str, Any], as_json: bool) -> None:
    if not site.installation.demo:
        host, port = site.sets[0].radius_address
        radius = f"{host}:{port}" if port else "off"
        https = told["https"] or "off"
        listeners = list(site.sets[0].urls)
        log.info("serving", version=__version__, radius=radius, https=https, listeners=listeners, workers=len(site.sets))
    elif as_json:
        print(json.dumps(told["demo"], ensure_ascii=False), flush=True)
    else:
        # Only here: drawing the table needs what no server that takes real logins has in memory.
        from wardgate.cli.demo_table import show_demo

        show_demo(told["demo"])


def _reread(site: _Site, in_file: StartSettings) -> None:
    """On SIGHUP, in the supervisor: take up what needs no restart, and say what does."""
    try:
        settings = read_settings(site.installation.data / FILE_NAME)
    except WardgateError as error:
        log.error("settings_not_taken_over", error=error.message)
        return
    _set_up_logs(site.installation, settings)
    changed = [each.name for each in fields(settings) if getattr(settings, each.name) != getattr(in_file, each.name)]
    if later := [name for name in changed if name != "log"]:
        log.warning("settings_need_a_restart", tables=later)


# --- what the children do ----------------------------------------------------------------------------------------------


def _write(site: _Site, channel: Channel) -> None:
    """The writer: makes or upgrades the database, then writes for the workers until SIGTERM."""
    if site.writer is None:
        return
    progress = Progress()
    threading.Thread(target=_beat_beside, args=(channel, progress), name="beat", daemon=True).start()
    chain = asyncio.run(site.installation.chain())
    run_writer(site.installation.database, site.writer, chain, channel.ready, progress=progress)


def _beat_beside(channel: Channel, progress: Progress) -> None:
    """The signs of life of a process that blocks: a disk that is slow does not silence it, one that never answers does.

    The thread stands still with its process, and needs the interpreter as its loop does.
    """
    while not progress.stuck:
        channel.beat()
        time.sleep(BEAT_EVERY_S)


def _work(site: _Site, slot: int, channel: Channel, again: Again) -> None:
    """One worker, until SIGTERM."""
    sys.setswitchinterval(SWITCH_S)
    place = WorkerPlace(slot=slot, workers=len(site.sets), after=again.after)
    _set_up_logs(site.installation, site.installation.settings, place)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(site, place, channel))


async def _serve(site: _Site, place: WorkerPlace, channel: Channel) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    beats = asyncio.create_task(_beat(channel), name="beat")
    hasher = PasswordHasher(site.password_threads, MAX_WAITING_PASSWORDS, turn=site.turns)
    opened = await site.installation.connect(place.slot, site.writer_path)
    worker = Worker(opened, site.sets[place.slot], WatchedClock(), hasher, place)
    worker.on_epoch_over = stop.set
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(site, place, worker, channel))
    try:
        if site.installation.demo:
            channel.ready({"demo": await _start_demo(site, place, worker)})
        else:
            await worker.start()
            channel.ready({"https": worker.https_url})
        await stop.wait()
    finally:
        await worker.stop()
        await opened.storage.close()
        beats.cancel()


async def _beat(channel: Channel) -> None:
    while True:
        channel.beat()
        await asyncio.sleep(BEAT_EVERY_S)


def _reload(site: _Site, place: WorkerPlace, worker: Worker, channel: Channel) -> None:
    # What is wrong with the file is said once, by the supervisor.
    with contextlib.suppress(WardgateError):
        _set_up_logs(site.installation, read_settings(site.installation.data / FILE_NAME), place)
    worker.reload_soon(channel.reloaded)


async def _start_demo(site: _Site, place: WorkerPlace, worker: Worker) -> dict[str, Any]:
    """Start a worker of the demo. Returns what a visitor is told."""
    # Only here: a server that takes real logins has no demo in memory.
    from wardgate import demo

    made = await demo.prepare(worker.office)
    described = await demo.describe(worker.office, made)
    sockets = site.sets[place.slot]
    host, port = sockets.radius_address

    async def tell() -> dict[str, Any]:
        return {
            "radius": {
                "host": host,
                "port": port,
                "acct_port": sockets.accounting_port,
                "secret": made.radius_secret,
                "message_authenticator": "accept_missing",
            },
            "https": {"url": worker.https_url, "ca_file": str(site.installation.certificate.resolve())},
            "outbox_url": f"{worker.https_url}/outbox",
            "admin_url": f"{worker.https_url}/admin/log",
            "users": await demo.describe(worker.office, made),
        }

    await worker.start(demo.guide(made, described, host, port), tell)
    return await tell()
