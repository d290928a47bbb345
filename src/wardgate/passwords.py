"""Password hashes: making and checking them in a bounded pool of threads, so that the event loop never waits for one.

New hashes are Argon2id. A hash from elsewhere is checked by `foreign_hashes` in the same threads, and its check is followed
by the work of one Argon2id check, because most of them are so cheap that the time of a refusal would tell which accounts
exist. Passwords are bytes: what a NAS sends is not decoded.

Whose passwords wait take turns, by their source: one client that guesses as fast as it can keeps nobody else waiting for long.
"""

import asyncio
import base64
import math
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret

from wardgate import foreign_hashes, hash_making
from wardgate.crypto import Secret
from wardgate.errors import Overloaded, SettingsError, UsageError
from wardgate.fair_queue import FairQueue

# What has waited longer is not checked any more: its NAS asks elsewhere by now, or is about to. Below a directory's patience, 5 s,
# so that a long queue is told from a directory that is down.
MAX_WAIT_S = 4.0
MAX_PASSWORD_BYTES = 1024
ARGON2ID = "argon2id"
# A refusal waits at most so long for the slowest form of hash.
MAX_EVEN_S = 2.0
MAX_FORMS = 64
_MARGIN = 1.25
_TOO_MANY = "too many passwords wait to be checked"
SALT_BYTES = 16
DIGEST_BYTES = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What `PasswordHasher.check` found. `upgraded`: a fresh Argon2id hash of the same password, when one was due.

    `took_s`: how long the work took, without the wait for a thread.
    """

    right: bool
    upgraded: str | None = None
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A call that waits. `patience_s`: after so long nobody wants to know any more."""

    future: Future[Any]
    work: Callable[[], Any]
    patience_s: float
    asked: float = field(default_factory=time.perf_counter)


class PasswordHasher:
    """Hashes and checks passwords in `threads` threads, with at most `max_waiting` calls in the queue before them.

    A call beyond that raises Overloaded at once, or takes the place of one whose source has more of them in the queue.
    `threads` should be the machine's cores less one, over all processes: where there are several processes, `turn` is entered for
    each piece of work and keeps them to that together.
    """

    def __init__(
        self,
        threads: int,
        max_waiting: int,
        time_cost: int = 2,
        memory_kib: int = 19456,
        parallelism: int = 1,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        if memory_kib > foreign_hashes.MAX_ARGON2_MEMORY_KIB or memory_kib * time_cost > foreign_hashes.MAX_ARGON2_WORK_KIB:
            raise SettingsError(
                f"password hashing: memory {memory_kib} KiB with time cost {time_cost} is more than one check may take; "
                f"use at most {foreign_hashes.MAX_ARGON2_MEMORY_KIB} KiB and a product of {foreign_hashes.MAX_ARGON2_WORK_KIB}"
            )
        self.threads = max(1, threads)
        self.runs = 0
        self._time_cost = time_cost
        self._memory_kib = memory_kib
        self._parallelism = parallelism
        self._prefix = f"$argon2id$v=19$m={memory_kib},t={time_cost},p={parallelism}$"
        # A random digest costs as much to check as a real one, and no password belongs to it.
        self._nobody = self._prefix + _base64(secrets.token_bytes(SALT_BYTES)) + "$" + _base64(secrets.token_bytes(DIGEST_BYTES))
        self._limit = self.threads + max(0, max_waiting)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="password")
        self._turn: AbstractContextManager[object] = nullcontext() if turn is None else turn
        self._lock = threading.Lock()
        self._pending = 0
        self._waiting: FairQueue[_Job] = FairQueue()
        self._closed = False
        self._costs: dict[str, float] = {}
        # Told, in the thread that works, how many seconds each call waited for it.
        self.on_wait: Callable[[float], None] | None = None
        # Told, in the same thread, how many seconds each piece of work took.
        self.on_work: Callable[[float], None] | None = None

    @property
    def pending(self) -> int:
        """How many calls are running or waiting."""
        return self._pending

    def refuses(self, source: str) -> bool:
        """Whether one more call of this source would be refused now: to know it before anything is written for it."""
        with self._lock:
            return self._pending >= self._limit and not self._waiting.gives_way(source)

    async def hash(self, password: Secret) -> str:
        """A fresh Argon2id hash. Raises UsageError for an empty or overlong password."""
        value = password.reveal()
        if not 1 <= len(value) <= MAX_PASSWORD_BYTES:
            raise UsageError(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes")
        return await self._run(lambda: self._make(value))

    async def hash_as(self, scheme: str, password: Secret, like: str = "") -> str:
        """A fresh hash of a scheme in `hash_making.WRITTEN`, or `argon2id`, for a table that others read as well.

        `like`: the hash that it replaces. Raises UsageError for an empty or overlong password, or one that the scheme cannot take.
        """
        value = password.reveal()
        if not 1 <= len(value) <= MAX_PASSWORD_BYTES:
            raise UsageError(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes")
        if scheme != ARGON2ID:
            return await self._run(lambda: hash_making.make(scheme, value, like))
        wrapper = foreign_hashes.wrapper_of(like)
        made = await self._run(lambda: self._make(value))
        return wrapper + made if recognise(like[len(wrapper) :]) == ARGON2ID else made

    async def verify(self, stored: str, password: Secret) -> bool:
        """True when the password belongs to the stored hash. For who sets a password, and waits for it as for the new hash."""
        return (await self.check(stored, password, upgrade=False, patience_s=math.inf)).right

    async def check(
        self, stored: str, password: Secret, upgrade: bool, source: str = "", patience_s: float | None = None
    ) -> Checked:
        """Check a password and, with `upgrade`, make the hash that should replace a weak one after a right password.

        Both in one visit to the pool: a login that was admitted does not queue, or fail, a second time. `source`: on whose behalf,
        for the turns of those who wait.
        """
        value = password.reveal()

        def work() -> Checked:
            began = time.perf_counter()
            checked = self._check(stored, value, upgrade)
            return replace(checked, took_s=time.perf_counter() - began)

        checked = await self._run(work, source, MAX_WAIT_S if patience_s is None else patience_s)
        if not checked.right and self.needs_upgrade(stored):
            self.learn(stored, checked.took_s)
        return checked

    async def verify_nothing(self, password: Secret, source: str = "") -> None:
        """Do the work of one check for a name that has no password, and take as long as the slowest."""
        value = password.reveal()

        def work() -> Checked:
            began = time.perf_counter()
            self._match(self._nobody, value)
            return Checked(False, took_s=time.perf_counter() - began)

        await self.even_out(await self._run(work, source, MAX_WAIT_S))

    @property
    def slowest_s(self) -> float:
        """How long a check of the slowest form of hash takes that was met since the start."""
        return min(max(self._costs.values(), default=0.0) * _MARGIN, MAX_EVEN_S)

    def learn(self, stored: str, took_s: float) -> None:
        """Note how long a check of a hash from elsewhere took. The quickest of a form counts: the machine may have been busy."""
        form = foreign_hashes.form_of(stored)
        if form is not None and (form in self._costs or len(self._costs) < MAX_FORMS):
            self._costs[form] = min(took_s, self._costs.get(form, took_s))

    async def even_out(self, checked: Checked) -> None:
        """Wait, before a refusal, until the slowest check would have ended.

        A costly hash from elsewhere would otherwise tell by the time of its refusals that the account exists.
        """
        left_s = self.slowest_s - checked.took_s
        if left_s > 0:
            await asyncio.sleep(left_s)

    def needs_upgrade(self, stored: str) -> bool:
        """True unless the hash is Argon2id with the present parameters."""
        return not stored.startswith(self._prefix)

    def close(self) -> None:
        """Drop what waits and let the threads end."""
        with self._lock:
            self._closed = True
            dropped = [self._waiting.take() for _ in range(len(self._waiting))]
        for job in dropped:
            if job is not None:
                job.future.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, stored: str, password: bytes, upgrade: bool) -> Checked:
        right = self._match(stored, password)
        if not self.needs_upgrade(stored):
            return Checked(right)
        # Whatever the answer: a disabled account with a right password must look like one with a wrong password.
        self._match(self._nobody, password)
        return Checked(right, self._make(password) if right and upgrade and password else None)

    def _match(self, stored: str, password: bytes) -> bool:
        # An overlong password is wrong, but not faster: its length must not tell whether the account exists.
        overlong = len(password) > MAX_PASSWORD_BYTES
        self._count_run()
        return foreign_hashes.check(stored, b"" if overlong else password) and not overlong

    def _make(self, password: bytes) -> str:
        self._count_run()
        try:
            return hash_secret(
                password,
                secrets.token_bytes(SALT_BYTES),
                self._time_cost,
                self._memory_kib,
                self._parallelism,
                DIGEST_BYTES,
                Type.ID,
            ).decode()
        except Argon2Error as error:
            raise Overloaded("no memory for a password hash") from error

    def _count_run(self) -> None:
        with self._lock:
            self.runs += 1

    async def _run(self, work: Callable[[], T], source: str = "", patience_s: float = math.inf) -> T:
        job = _Job(Future(), work, patience_s)
        # Counted until the thread is done, not until the caller gave up: what was abandoned still holds a thread.
        job.future.add_done_callback(self._leave)
        with self._lock:
            if self._closed:
                raise Overloaded("the server is stopping")
            displaced = self._waiting.make_room(source) if self._pending >= self._limit else None
            if displaced is None:
                if self._pending >= self._limit:
                    raise Overloaded(_TOO_MANY)
                # A place in the pool is for whoever is next when a thread is free. A displaced call leaves its place behind.
                self._pool.submit(self._work_on_next)
            self._pending += 1
            self._waiting.put(source, job)
        if displaced is not None and displaced.future.set_running_or_notify_cancel():
            displaced.future.set_exception(Overloaded(_TOO_MANY))
        return await asyncio.wrap_future(job.future)

    def _work_on_next(self) -> None:
        with self._turn:
            with self._lock:
                job = self._waiting.take()
            if job is None or not job.future.set_running_or_notify_cancel():
                return
            waited_s = time.perf_counter() - job.asked
            if self.on_wait is not None:
                self.on_wait(waited_s)
            try:
                if waited_s > job.patience_s:
                    raise Overloaded("a password waited too long to be checked")
                outcome = self._timed(job.work)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller, in another thread
                job.future.set_exception(error)
            else:
                job.future.set_result(outcome)

    def _timed(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return work()
        finally:
            if self.on_work is not None:
                self.on_work(time.perf_counter() - began)

    def _leave(self, _future: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1


def recognise(stored: str) -> str | None:
    """The name of the scheme that a stored hash is written in, None for an unknown form."""
    found = foreign_hashes.scheme_of(stored)
    return found[0].name if found else None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")
