"""Real MariaDB servers for tests: made in a temporary directory, on a free loopback port, stopped by their process id.

Nothing of the machine's own MariaDB is read or touched. `shared()` is one server for all tests of a process, which need not
survive a power cut; a test that stops a server makes its own. A test run that is killed takes its servers and their data with it.
"""

import atexit
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

from tests.neighbours import executable
from tests.postgresql import free_port
from tests.watchdog import watch

USER = "wardgate"
PASSWORD = "of the tests"
START_S = 90.0
_numbers = count(1)


class Server:
    """One server. `start` and `stop` may be called again; the data stays until `remove`."""

    def __init__(self, ssl_for: tuple[bytes, bytes] | None = None, **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="wardgate-mariadb-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        nobody = pwd.getpwnam("nobody")
        # MariaDB refuses to run as root.
        self._as: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self._own(self.directory)
        self._settings: Mapping[str, str] = {
            "datadir": str(self.directory / "data"),
            "tmpdir": str(self.directory),
            "socket": str(self.directory / "sock"),
            "pid-file": str(self.directory / "pid"),
            "lc-messages-dir": "/usr/share/mysql",
            "bind-address": "127.0.0.1",
            "skip-name-resolve": "ON",
            "character-set-server": "utf8mb4",
            "performance-schema": "OFF",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-flush-method": "nosync",
            "innodb-doublewrite": "OFF",
            "innodb-buffer-pool-size": "24M",
            "innodb-log-file-size": "8M",
            "max-connections": "60",
            **(self._certified(*ssl_for) if ssl_for is not None else {}),
            **settings,
        }
        self._install()

    def _install(self) -> None:
        (self.directory / "data").mkdir()
        self._own(self.directory / "data")
        # This account is made by the first start, so that no privileged one without a password ever listens.
        (self.directory / "init.sql").write_text(
            f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        self._own(self.directory / "init.sql")
        install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db") or "mariadb-install-db"
        command = [
            install,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory}",
            "--skip-test-db",
            "--skip-name-resolve",
            "--auth-root-authentication-method=socket",
            "--auth-root-socket-user=nobody",
            "--innodb-flush-method=nosync",
            "--innodb-log-file-size=8M",
        ]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, timeout=START_S, check=False, **self._as)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db: {done.stdout.decode()[-1000:]}{done.stderr.decode()[-1000:]}")

    def _own(self, path: Path) -> None:
        if self._as:
            os.chown(path, self._as["user"], self._as["group"])

    def _certified(self, certificate: bytes, key: bytes) -> dict[str, str]:
        """The settings of a server that speaks TLS."""
        paths = {"ssl-cert": self.directory / "cert.pem", "ssl-key": self.directory / "key.pem"}
        for path, content in zip(paths.values(), (certificate, key), strict=True):
            path.write_bytes(content)
            path.chmod(0o600)
            self._own(path)
        return {name: str(path) for name, path in paths.items()}

    def url(self, database: str, user: str = USER) -> str:
        """The URL of a database of this server, without a password."""
        return f"mysql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return str(self.directory / "sock")

    def start(self) -> "Server":
        """Start, and wait until it answers."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        if not (self.directory / "started").exists():
            options.append(f"--init-file={self.directory / 'init.sql'}")
        command = [executable("mariadb"), "--no-defaults", *options, f"--port={self.port}"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stderr=log, stdout=log, start_new_session=True, **self._as
            )
        self._watch = watch(self._process.pid, self.directory)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        (self.directory / "started").touch()
        return self

    def _answers(self) -> bool:
        with suppress(pymysql.MySQLError, OSError):
            self.connect(None).close()
            return True
        return False

    def connect(self, database: str | None) -> Any:
        """A connection as the owner of everything."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            database=database,
            charset="utf8mb4",
            connect_timeout=5,
            read_timeout=60,
            autocommit=True,
        )

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it: SIGTERM in order, SIGKILL leaves it no time for anything."""
        process, self._process = self._process, None
        watching, self._watch = self._watch, None
        if process is None:
            return
        if watching is not None:
            watching.kill()
            watching.communicate()
        process.send_signal(how)
        process.wait(START_S)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the owner of everything."""
        self.fetch(*statements, database=database)

    def fetch(self, *statements: str, database: str | None = None, values: Sequence[object] | None = None) -> list[Any]:
        """Run statements as the owner of everything; the rows of the last. `values` are bound to each."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def create(self) -> str:
        """A new, empty database; its name."""
        name = f"w{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name


@contextmanager
def server(ssl_for: tuple[bytes, bytes] | None = None, **settings: str) -> Iterator[Server]:
    """A server of one's own. `ssl_for`: its certificate and key, in PEM."""
    made = Server(ssl_for, **settings)
    try:
        yield made.start()
    finally:
        made.remove()


@functools.cache
def shared() -> Server:
    """The server of all tests of this process."""
    made = Server()
    atexit.register(made.remove)
    return made.start()
