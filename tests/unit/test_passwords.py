"""The pool of password hashing: bounded, equal in cost for what is there and what is not, and free of decoding."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable

import bcrypt
import pytest

from wardgate import foreign_hashes, passwords
from wardgate.crypto import Secret
from wardgate.errors import Overloaded, SettingsError, UsageError
from wardgate.passwords import MAX_EVEN_S, MAX_PASSWORD_BYTES, PasswordHasher, recognise

SSHA = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"


def cheap(threads: int = 1, max_waiting: int = 10) -> PasswordHasher:
    return PasswordHasher(threads, max_waiting, time_cost=1, memory_kib=8)


async def test_a_password_verifies_against_its_own_hash_only() -> None:
    hasher = cheap()
    stored = await hasher.hash(Secret("correct horse"))

    assert await hasher.verify(stored, Secret("correct horse"))
    assert not await hasher.verify(stored, Secret("correct hors"))
    assert not await hasher.verify(stored, Secret(""))
    assert recognise(stored) == "argon2id"


async def test_the_defaults_are_argon2id_with_19_mib_and_two_passes() -> None:
    stored = await PasswordHasher(1, 1).hash(Secret("x"))

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("password", [b"\x00", b"a\x00b", b"\xe7\xfe\xff", "şifre".encode("utf-16"), b"x" * MAX_PASSWORD_BYTES])
async def test_any_bytes_are_a_password(password: bytes) -> None:
    hasher = cheap()
    stored = await hasher.hash(Secret(password))

    assert await hasher.verify(stored, Secret(password))
    assert not await hasher.verify(stored, Secret(password.replace(b"\x00", b"") or b"y")) or b"\x00" not in password


@pytest.mark.parametrize("password", [b"", b"x" * (MAX_PASSWORD_BYTES + 1)])
async def test_an_empty_or_overlong_password_is_never_set(password: bytes) -> None:
    with pytest.raises(UsageError):
        await cheap().hash(Secret(password))


async def test_an_overlong_password_is_wrong_and_costs_as_much() -> None:
    hasher = cheap()
    stored = await hasher.hash(Secret("x"))
    before = hasher.runs

    assert not await hasher.verify(stored, Secret(b"x" * 100_000))
    assert hasher.runs == before + 1


async def test_nobody_costs_as_much_as_somebody() -> None:
    hasher = cheap()
    stored = await hasher.hash(Secret("x"))
    start = hasher.runs
    await hasher.verify(stored, Secret("wrong"))
    somebody = hasher.runs - start
    await hasher.verify_nothing(Secret("wrong"))

    assert hasher.runs - start - somebody == somebody == 1


@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_a_cheap_foreign_hash_does_not_tell_itself_by_time(password: str) -> None:
    hasher = cheap()
    await hasher.verify(SSHA, Secret(password))

    # One for the hash itself, one more with the work of Argon2id, whether or not the password was right.
    assert hasher.runs == 2


BCRYPT_10 = bcrypt.hashpw(b"correct horse", b"$2b$10$abcdefghijklmnopqrstuu").decode()


async def seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def test_a_costly_foreign_hash_does_not_tell_itself_by_time() -> None:
    hasher = cheap()
    own = await hasher.hash(Secret("correct horse"))
    first = await hasher.check(BCRYPT_10, Secret("guess"), upgrade=False)
    assert first.took_s > 0.01, "otherwise this test shows nothing"
    nobody = await seconds(hasher.verify_nothing(Secret("guess")))
    checked = await hasher.check(own, Secret("guess"), upgrade=False)
    somebody = checked.took_s + await seconds(hasher.even_out(checked))
    assert nobody >= first.took_s
    assert somebody >= first.took_s


async def test_one_check_that_a_busy_machine_made_slow_does_not_slow_down_all_others() -> None:
    hasher = cheap()
    hasher.learn(BCRYPT_10, 1.5)
    hasher.learn(BCRYPT_10, 0.05)
    assert hasher.slowest_s < 0.1
    for number in range(200):
        hasher.learn(BCRYPT_10.replace("$10$", f"${number % 90 + 10}$"), 60.0)
    assert hasher.slowest_s <= MAX_EVEN_S


async def test_cheap_hashes_hold_nobody_up() -> None:
    hasher = cheap()
    await hasher.check(SSHA, Secret("guess"), upgrade=False)
    await hasher.check(await hasher.hash(Secret("a")), Secret("guess"), upgrade=False)
    assert await seconds(hasher.verify_nothing(Secret("guess"))) < 0.5


async def test_a_weak_hash_is_replaced_only_after_a_right_password() -> None:
    hasher = cheap()

    right = await hasher.check(SSHA, Secret("secret"), upgrade=True)
    wrong = await hasher.check(SSHA, Secret("Secret"), upgrade=True)
    unasked = await hasher.check(SSHA, Secret("secret"), upgrade=False)

    assert right.right
    assert right.upgraded is not None
    assert await hasher.verify(right.upgraded, Secret("secret"))
    assert (wrong.right, wrong.upgraded) == (False, None)
    assert (unasked.right, unasked.upgraded) == (True, None)


async def test_a_hash_with_present_parameters_is_left_alone() -> None:
    hasher = cheap()
    stored = await hasher.hash(Secret("x"))

    assert not hasher.needs_upgrade(stored)
    assert (await hasher.check(stored, Secret("x"), upgrade=True)).upgraded is None
    assert PasswordHasher(1, 1, time_cost=2, memory_kib=8).needs_upgrade(stored)
    assert hasher.needs_upgrade(SSHA)


async def test_a_flood_of_passwords_is_refused_at_once_instead_of_queueing_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate = cheap(threads=1, max_waiting=2), threading.Event()
    monkeypatch.setattr(foreign_hashes, "check", lambda stored, password: gate.wait(10) and False)
    waiting = [asyncio.create_task(hasher.verify(SSHA, Secret("x"))) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await hasher.verify(SSHA, Secret("x"))
    with pytest.raises(Overloaded):
        await hasher.verify_nothing(Secret("x"))
    gate.set()

    assert await asyncio.gather(*waiting) == [False, False, False]
    assert hasher.pending == 0


async def test_a_caller_who_gave_up_still_counts_until_his_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate, begun = cheap(threads=1, max_waiting=0), threading.Event(), threading.Event()

    def slow(stored: str, password: bytes) -> bool:
        begun.set()
        return gate.wait(10) and False

    monkeypatch.setattr(foreign_hashes, "check", slow)
    abandoned = asyncio.create_task(hasher.verify(SSHA, Secret("x")))
    await asyncio.to_thread(begun.wait, 10)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)

    with pytest.raises(Overloaded):
        await hasher.verify(SSHA, Secret("x"))
    gate.set()


async def test_a_caller_who_gave_up_in_the_queue_frees_his_place(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate = cheap(threads=1, max_waiting=1), threading.Event()
    monkeypatch.setattr(foreign_hashes, "check", lambda stored, password: gate.wait(10) and False)
    running = asyncio.create_task(hasher.verify(SSHA, Secret("x")))
    queued = asyncio.create_task(hasher.verify(SSHA, Secret("x")))
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)

    assert hasher.pending == 1
    gate.set()
    assert not await running


async def test_guesses_from_one_source_do_not_make_another_wait_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate = cheap(threads=1, max_waiting=100), threading.Event()
    checked: list[bytes] = []

    def slow(stored: str, password: bytes) -> bool:
        gate.wait(10)
        checked.append(password)
        return False

    monkeypatch.setattr(foreign_hashes, "check", slow)
    flood = [asyncio.create_task(hasher.check(SSHA, Secret("guess"), False, "flooder")) for _ in range(50)]
    await asyncio.sleep(0)
    good = [asyncio.create_task(hasher.check(SSHA, Secret("mine"), False, "somebody")) for _ in range(2)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*flood, *good)
    # A guess is being checked already; then they take turns.
    assert b"mine" in checked[:5]
    assert [place for place, password in enumerate(checked) if password == b"mine"][-1] < 12


async def test_a_source_that_filled_the_queue_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate = cheap(threads=1, max_waiting=4), threading.Event()
    monkeypatch.setattr(foreign_hashes, "check", lambda stored, password: gate.wait(10) and password == b"mine")
    flood = [asyncio.create_task(hasher.check(SSHA, Secret("guess"), False, "flooder")) for _ in range(20)]
    await asyncio.sleep(0)
    assert hasher.refuses("flooder")
    assert not hasher.refuses("somebody")
    good = asyncio.create_task(hasher.check(SSHA, Secret("mine"), False, "somebody"))
    await asyncio.sleep(0)
    gate.set()
    assert (await good).right
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(each, Overloaded) for each in outcomes) == 16
    assert hasher.pending == 0
    assert not await hasher.verify(SSHA, Secret("x"))


async def test_a_password_that_waited_too_long_is_told_from_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAIT_S", -1.0)
    hasher = cheap()
    with pytest.raises(Overloaded):
        await hasher.check(SSHA, Secret("secret"), upgrade=False)
    assert (hasher.runs, hasher.pending) == (0, 0)
    # An operator's work has no deadline of a NAS.
    assert await hasher.hash(Secret("secret"))


async def test_a_stop_tells_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, gate = cheap(threads=1, max_waiting=5), threading.Event()
    monkeypatch.setattr(foreign_hashes, "check", lambda stored, password: gate.wait(10) and False)
    waiting = [asyncio.create_task(hasher.verify(SSHA, Secret("x"))) for _ in range(4)]
    await asyncio.sleep(0)
    hasher.close()
    gate.set()
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(each, asyncio.CancelledError) for each in outcomes) >= 3
    with pytest.raises(Overloaded):
        await hasher.verify(SSHA, Secret("x"))


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    hasher = PasswordHasher(1, 10)
    turns = 0
    task = asyncio.create_task(hasher.hash(Secret("x")))
    while not task.done():
        turns += 1
        await asyncio.sleep(0.001)

    assert turns > 2


async def test_after_close_it_refuses() -> None:
    hasher = cheap()
    hasher.close()

    with pytest.raises(Overloaded):
        await hasher.verify(SSHA, Secret("x"))
    assert hasher.pending == 0


async def test_no_memory_is_not_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2.exceptions import VerificationError
    from argon2.low_level import error_to_str

    def exhausted(*_: object) -> bool:
        raise VerificationError(error_to_str(-22))

    hasher = cheap()
    stored = await hasher.hash(Secret("x"))
    monkeypatch.setattr(foreign_hashes, "verify_secret", exhausted)

    with pytest.raises(Overloaded):
        await hasher.verify(stored, Secret("x"))


def test_parameters_beyond_the_limit_of_one_check_are_a_wrong_setting() -> None:
    with pytest.raises(SettingsError):
        PasswordHasher(1, 1, memory_kib=8 * 1024 * 1024)


def test_importing_it_loads_neither_libpass_nor_the_web() -> None:
    code = "import sys, wardgate.passwords; print([name for name in ('passlib', 'sqlalchemy', 'starlette') if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"
