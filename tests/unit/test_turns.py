"""Turns: never more at once than there are, over threads and processes, and none lost with whoever held it."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from wardgate.crypto import Secret
from wardgate.passwords import PasswordHasher
from wardgate.turns import Turns

WAIT_S = 20


def a_process_with_a_turn(turns: Turns) -> int:
    """A child that takes a turn and keeps it until it is killed."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with turns:
                os.write(tell, b"!")
                signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(told, 1) == b"!"
    finally:
        os.close(told)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def taken_within(turns: Turns, seconds: float) -> threading.Event:
    """Set once a thread of ours has had a turn."""
    had = threading.Event()

    def take() -> None:
        with turns:
            had.set()

    threading.Thread(target=take, daemon=True).start()
    had.wait(seconds)
    return had


@pytest.mark.parametrize("count", [1, 3])
def test_no_more_at_once_than_there_are_turns_and_a_killed_process_gives_its_own_back(tmp_path: Path, count: int) -> None:
    turns = Turns(count, tmp_path)
    holders = [a_process_with_a_turn(turns) for _ in range(count)]
    try:
        had = taken_within(turns, 0.2)
        assert not had.is_set()
        end(holders.pop())
        assert had.wait(WAIT_S)
    finally:
        for pid in holders:
            end(pid)


def test_threads_of_one_process_take_turns_too(tmp_path: Path) -> None:
    turns, at_work, most, guard = Turns(2, tmp_path), 0, 0, threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        for _ in range(50):
            with turns:
                with guard:
                    at_work += 1
                    most = max(most, at_work)
                with guard:
                    at_work -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT_S)
    assert not any(each.is_alive() for each in threads)
    assert 1 <= most <= 2


def test_nothing_is_left_in_the_directory(tmp_path: Path) -> None:
    with Turns(1, tmp_path):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="at least one"):
        Turns(0, tmp_path)


async def test_a_password_is_hashed_only_when_it_is_this_processes_turn(tmp_path: Path) -> None:
    """Else every worker hashes on all cores at once, and none is left for the packets."""
    turns = Turns(1, tmp_path)
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8, turn=turns)
    holder = a_process_with_a_turn(turns)
    try:
        hashing = asyncio.ensure_future(hasher.hash(Secret("correct horse")))
        done, _ = await asyncio.wait({hashing}, timeout=0.2)
        assert not done
        assert (hasher.pending, hasher.runs) == (1, 0)
    finally:
        end(holder)
    async with asyncio.timeout(WAIT_S):
        assert (await hashing).startswith("$argon2id$")
    hasher.close()
