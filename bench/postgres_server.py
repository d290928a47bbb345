"""A PostgreSQL of the benchmark's own: a fresh cluster with the server's defaults, so a commit is on the disk when it returns."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_S = 30.0
SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server that takes connections from this machine without a password."""

    pid: int
    port: int

    def url(self, database: str) -> str:
        """Where a database of it is."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def run(self, statements: str, database: str = "postgres") -> None:
        """Run SQL by psql; its error ends the benchmark."""
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", self.url(database)]
        done = subprocess.run(command, input=statements, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"psql: {done.stderr}")


def programs() -> Path | None:
    """The directory of the newest server's programs, or None."""
    if shutil.which("psql") is None:
        return None
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    elsewhere = shutil.which("initdb")
    return found[-1].parent if found else Path(elsewhere).parent if elsewhere else None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster in `folder`, which is made. It does not run as root: then it belongs to the system's user for it."""
    place = programs()
    if place is None:
        raise SystemExit("PostgreSQL is not installed")
    folder.mkdir(mode=0o700)
    owner = SUPERUSER if os.geteuid() == 0 else None
    if owner is not None:
        entry = pwd.getpwnam(owner)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.parent.chmod(0o711)
    data = folder / "data"
    log = folder / "log"
    made = [str(place / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(made, user=owner, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    port = _free_port()
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with log.open("wb") as output:
        process = subprocess.Popen([str(place / "postgres"), "-D", str(data), *options], user=owner, cwd=folder, stderr=output)
    try:
        deadline = time.monotonic() + START_S
        while b"ready to accept connections" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"PostgreSQL does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Cluster(process.pid, port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
