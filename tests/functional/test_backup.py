"""A backup made under load, restored elsewhere and started: what was spent before is worth nothing in the new epoch."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.harness import (
    PERIOD_S,
    Person,
    Served,
    Wire,
    cli,
    cli_json,
    csv_of,
    ended,
    enrol_devices,
    hotp_code,
    make_installation,
    message_of,
    people,
    serve,
    totp_code,
    wait_for,
)
from tests.functional.plant import CHALLENGE, document
from wardgate.cli.performing import Performer
from wardgate.radius.packet import Code, Type

LOADERS = 2
# An installation that takes some seconds to back up, so that there is something to go on beside.
FILLER_USERS = 40


def person(name: str, **factors: str) -> Person:
    return Person(name, f"pw-{secrets.token_urlsafe(9)}", **factors)


ADA = person("ada", totp_hex=secrets.token_hex(20))
ERIN = person("erin", totp_hex=secrets.token_hex(20), hotp_hex=secrets.token_hex(20))
GUS = person("gus", totp_hex=secrets.token_hex(20))
# Who has nothing but a device that counts.
IAN = person("ian", hotp_hex=secrets.token_hex(20))
CROWD = people("crowd", FILLER_USERS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup")


@pytest.fixture(scope="module")
def recovery_codes(place: Path) -> list[str]:
    """The installation, and Gus' sheet."""
    data = place / "data"
    make_installation(data, document(), csv_of([ADA, ERIN, GUS, IAN, *CROWD]))
    enrol_devices(data, ERIN, IAN)
    with Performer(data) as performer:
        return list(performer.do("authenticator.add_recovery", {"name": GUS.name})["codes"])


class Load:
    """People who log in all the time, each with a right password and then an app's code, and how it went."""

    def __init__(self, served: Served) -> None:
        self.replies: list[Code] = []
        self.failures: list[str] = []
        self._served = served
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._run, args=(number,)) for number in range(LOADERS)]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._stop.set()
            for each in threads:
                each.join(60)

    def _run(self, number: int) -> None:
        try:
            with Wire(self._served, source=CHALLENGE) as wire:
                while not self._stop.is_set():
                    for user in CROWD[number::LOADERS]:
                        challenge = wire.log_in(user.name, user.password)
                        self.replies.append(challenge.code)
                        if challenge.code is Code.ACCESS_CHALLENGE:
                            # Right once in a time step; then it is a used code, and the challenge is put again.
                            self.replies.append(wire.answer(user.name, totp_code(user.totp_hex), challenge).code)
        except AssertionError as failure:
            self.failures.append(str(failure))


@pytest.fixture(scope="module")
def restored(place: Path, recovery_codes: list[str]) -> Iterator[tuple[Served, dict[str, str]]]:
    """Back up under load, lose the machine, restore in a new directory, serve there. With the codes that were used before."""
    data, file, key = place / "data", place / "backup.age", place / "operator.key"
    with ended(serve(data)) as served:
        key.write_text(cli("backup", "key", data=data).stdout)
        used = use_codes(served, recovery_codes)
        with Load(served).running() as load:
            wait_for(lambda: len(load.replies) >= 20, 60)
            before = len(load.replies)
            made = cli_json("backup", "--to", str(file), data=data)
            during = len(load.replies) - before
            wait_for(lambda: len(load.replies) >= before + during + 10, 60)
        assert not load.failures
        assert during > 0, "no login was answered while the backup was made"
        assert Code.ACCESS_ACCEPT in load.replies
        assert Code.ACCESS_REJECT not in load.replies
        assert made["recorded"]
        with Wire(served, source=CHALLENGE) as wire:
            used["state"] = (wire.log_in(ADA.name, ADA.password).first(Type.STATE) or b"").hex()
        served.stop()
    told = cli_json("backup", "verify", str(file), "--identity", str(key), "--sha256", made["sha256"], data=data)
    assert (told["ok"], told["findings"]) == (True, [])
    assert told["secrets"] > FILLER_USERS
    done = cli_json("restore", str(file), "--identity", str(key), "--reason", "the machine is gone", data=place / "new")
    assert done["epoch"] == 2
    assert done["totp_raised"] == FILLER_USERS + 3
    assert done["held"] == 3
    with ended(serve(place / "new")) as served:
        used["restored_at"] = str(time.time())
        yield served, used
        served.stop()


def use_codes(served: Served, recovery_codes: list[str]) -> dict[str, str]:
    """Everybody logs in once before the backup."""
    used = {"totp": totp_code(ADA.totp_hex), "hotp": hotp_code(ERIN.hotp_hex, 0), "recovery": recovery_codes[0]}
    used["only"] = hotp_code(IAN.hotp_hex, 0)
    with Wire(served, source=CHALLENGE) as wire:
        for user, word, kind in ((ADA, "", "totp"), (ERIN, "device", "hotp"), (GUS, "recovery", "recovery"), (IAN, "", "only")):
            challenge = wire.log_in(user.name, user.password)
            if word:
                challenge = wire.answer(user.name, word, challenge)
            assert wire.answer(user.name, used[kind], challenge).code is Code.ACCESS_ACCEPT, kind
    return used


Restored = tuple[Served, dict[str, str]]


def test_no_time_based_code_of_before_the_restore_is_accepted(restored: Restored) -> None:
    """Neither the one that was used, nor one of the same moment that may have been used after the backup was made."""
    served, used = restored
    at = float(used["restored_at"])
    with Wire(served, source=CHALLENGE) as wire:
        challenge = wire.log_in(ADA.name, ADA.password)
        shifts = {int(at) // PERIOD_S - int(time.time()) // PERIOD_S + step for step in (-1, 0)}
        for code in [used["totp"], *(totp_code(ADA.totp_hex, shift=shift) for shift in sorted(shifts))][:2]:
            challenge = wire.answer(ADA.name, code, challenge)
            assert challenge.code is Code.ACCESS_CHALLENGE, message_of(challenge)


def test_a_new_time_based_code_is_accepted_and_releases_what_was_held(restored: Restored) -> None:
    """Erin's counting device proves nothing until her app has spoken for her; then it does, but no code of before."""
    served, used = restored
    with Wire(served, source=CHALLENGE) as wire:
        challenge = wire.log_in(ERIN.name, ERIN.password)
        for answer in ("device", hotp_code(ERIN.hotp_hex, 1)):
            challenge = wire.answer(ERIN.name, answer, challenge)
            assert challenge.code is Code.ACCESS_CHALLENGE, message_of(challenge)
        assert state_of(served, ERIN, "hotp") == "held"

        wait_for_new_codes(used)
        accept = wire.answer(ERIN.name, totp_code(ERIN.totp_hex, shift=1), challenge)
        assert accept.code is Code.ACCESS_ACCEPT, message_of(accept)
        assert state_of(served, ERIN, "hotp") == "active"

        challenge = wire.answer(ERIN.name, "device", wire.log_in(ERIN.name, ERIN.password))
        challenge = wire.answer(ERIN.name, used["hotp"], challenge)
        assert challenge.code is Code.ACCESS_CHALLENGE, "a counted code of before the restore was taken again"
        assert wire.answer(ERIN.name, hotp_code(ERIN.hotp_hex, 1), challenge).code is Code.ACCESS_ACCEPT


def test_a_login_that_was_open_before_the_restore_is_closed(restored: Restored) -> None:
    """Its State carries the proved password, sealed, and no row that a restore could remove."""
    served, used = restored
    wait_for_new_codes(used)
    with Wire(served, source=CHALLENGE) as wire:
        code = totp_code(ADA.totp_hex, shift=1)
        assert wire.ask(wire.request(ADA.name, code, bytes.fromhex(used["state"]))).code is Code.ACCESS_REJECT
        assert wire.answer(ADA.name, code, wire.log_in(ADA.name, ADA.password)).code is Code.ACCESS_ACCEPT


def test_who_has_nothing_but_a_counting_device_waits_for_an_operator(restored: Restored) -> None:
    served, used = restored
    with Wire(served, source=CHALLENGE) as wire:
        assert wire.log_in(IAN.name, IAN.password).code is Code.ACCESS_REJECT
        release(served, IAN)
        challenge = wire.answer(IAN.name, used["only"], wire.log_in(IAN.name, IAN.password))
        assert challenge.code is Code.ACCESS_CHALLENGE, "a counted code of before the backup was taken again"
        assert wire.answer(IAN.name, hotp_code(IAN.hotp_hex, 1), challenge).code is Code.ACCESS_ACCEPT


def test_recovery_codes_wait_until_an_operator_releases_them(restored: Restored, recovery_codes: list[str]) -> None:
    served, used = restored
    with Wire(served, source=CHALLENGE) as wire:
        challenge = wire.answer(GUS.name, "recovery", wire.log_in(GUS.name, GUS.password))
        challenge = wire.answer(GUS.name, recovery_codes[1], challenge)
        assert challenge.code is Code.ACCESS_CHALLENGE, message_of(challenge)
        release(served, GUS)
        challenge = wire.answer(GUS.name, "recovery", wire.log_in(GUS.name, GUS.password, identifier=7))
        challenge = wire.answer(GUS.name, used["recovery"], challenge)
        assert challenge.code is Code.ACCESS_CHALLENGE, "a recovery code that was used before the backup was taken again"
        assert wire.answer(GUS.name, recovery_codes[2], challenge).code is Code.ACCESS_ACCEPT


def test_the_audit_of_a_restored_installation_verifies_over_both_epochs(restored: Restored) -> None:
    served, _ = restored
    told = cli_json("audit", "verify", data=served.data)
    assert told["findings_count"] == 0
    assert {head.split(":")[1] for head in told["heads"]} == {"1", "2"}


def test_a_restore_over_a_running_server_is_refused(restored: Restored, place: Path) -> None:
    served, _ = restored
    options = [str(place / "backup.age"), "--identity", str(place / "operator.key"), "--replace"]
    told = cli("restore", *options, data=served.data, expect=3)
    assert "holds" in told.stderr
    cli("epoch", "open", "--reason", "test", data=served.data, expect=3)
    cli("user", "list", data=served.data)


def test_commands_say_what_is_wrong(place: Path, restored: Restored) -> None:
    """Exit codes and words, as an operator meets them."""
    served, _ = restored
    file, key = place / "backup.age", place / "operator.key"
    other = place / "other.key"
    other.write_text("AGE-SECRET-KEY-1" + "Q" * 58 + "\n")
    assert "no age identity" in cli("backup", "verify", str(file), "--identity", str(other), data=served.data, expect=2).stderr
    short = place / "short.age"
    short.write_bytes(file.read_bytes()[:-1])
    refusal = cli_json("backup", "verify", str(short), "--identity", str(key), data=served.data, expect=1)
    assert refusal["error"]["code"] == "backup_damaged"
    assert "--to" in cli("backup", data=served.data, expect=2).stderr
    assert cli_json("backup", "--to", str(file), data=served.data, expect=4)["error"]["code"] == "already_exists"


def release(served: Served, user: Person) -> None:
    """Lift what the restore holds of somebody's."""
    listed = cli_json("authenticator", "list", user.name, data=served.data)["authenticators"]
    (held,) = [each["id"] for each in listed if each["state"] == "held"]
    assert cli_json("authenticator", "release", held, data=served.data)["released"]


def wait_for_new_codes(used: dict[str, str]) -> None:
    """Codes count again from two time steps after the one of the restore; a clock may be one ahead."""
    step = int(float(used["restored_at"])) // PERIOD_S
    wait_for(lambda: time.time() // PERIOD_S > step, PERIOD_S + 10)


def state_of(served: Served, user: Person, kind: str) -> str:
    listed = cli_json("authenticator", "list", user.name, data=served.data)["authenticators"]
    return str(next(each["state"] for each in listed if each["kind"] == kind))
