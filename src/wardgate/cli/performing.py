"""Having an operation done: by the running server, or in this process under the instance lock when none runs."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from wardgate.control import NoServer, Progress, actor_of, call
from wardgate.errors import ServerUnavailable, StorageUnavailable

if TYPE_CHECKING:
    import asyncio

    from wardgate.admin.management import Management
    from wardgate.installation import InstanceLock, Opened
    from wardgate.passwords import PasswordHasher

# Another command may hold the lock for a moment, and a server that starts holds it before it answers.
LOCK_WAIT_S: Final = 15.0
_RETRY_S: Final = 0.05


def perform(data: Path, name: str, params: Mapping[str, object], on_progress: Progress | None = None) -> dict[str, Any]:
    """Do one operation. Raises WardgateError."""
    with Performer(data) as performer:
        return performer.do(name, params, on_progress)


class Performer:
    """Does several operations in a row; opens the installation at most once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._local: _Local | None = None

    def __enter__(self) -> "Performer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._local is not None:
            self._local.close()

    def do(self, name: str, params: Mapping[str, object], on_progress: Progress | None = None) -> dict[str, Any]:
        """Do one operation. Raises WardgateError."""
        deadline = time.monotonic() + LOCK_WAIT_S
        while self._local is None:
            try:
                return call(self._data, name, params, on_progress)
            except NoServer:
                self._local = self._open(deadline)
        return self._local.do(name, params, on_progress)

    def _open(self, deadline: float) -> "_Local | None":
        """This process in the place of the server; None when it is worth asking for a server again."""
        # Only here: with a server running, a command does none of the work and need not load it.
        from wardgate.installation import Installation

        installation = Installation.open(self._data)
        try:
            lock = installation.lock(wait_s=0)
        except ServerUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
            return None
        return _Local.start(installation, lock)


class _Local:
    """The opened installation of this process, with an event loop that lives as long."""

    def __init__(
        self, runner: "asyncio.Runner", opened: "Opened", management: "Management", hasher: "PasswordHasher", lock: "InstanceLock"
    ) -> None:
        self._runner = runner
        self._opened = opened
        self._management = management
        self._hasher = hasher
        self._lock = lock

    @classmethod
    def start(cls, installation: Any, lock: "InstanceLock") -> "_Local":
        import asyncio

        from wardgate.admin.management import Management
        from wardgate.admin.operations import OPERATIONS
        from wardgate.clock import SystemClock
        from wardgate.passwords import PasswordHasher

        runner = asyncio.Runner()
        try:
            opened = runner.run(installation.connect())
        except BaseException:
            runner.close()
            lock.release()
            raise
        listeners = installation.settings.https_listeners
        https = next((each for each in listeners if "admin" in each.doors), installation.settings.https)
        host = f"[{https.address}]" if ":" in https.address else https.address
        hasher = PasswordHasher(threads=max(1, os.cpu_count() or 1), max_waiting=1000)
        management = Management(opened, OPERATIONS, hasher, SystemClock(), lambda: f"https://{host}:{https.port}", serving=False)
        return cls(runner, opened, management, hasher, lock)

    def do(self, name: str, params: Mapping[str, object], on_progress: Progress | None) -> dict[str, Any]:
        work = self._management.run(name, params, on_progress or (lambda event: None), actor_of(None))
        try:
            return dict(self._runner.run(work))
        except BrokenPipeError:
            raise  # whoever reads our output has enough
        except OSError as error:
            raise StorageUnavailable(f"{error.strerror or error}") from error

    def close(self) -> None:
        try:
            self._runner.run(self._opened.storage.close())
        finally:
            self._hasher.close()
            self._runner.close()
            self._lock.release()
