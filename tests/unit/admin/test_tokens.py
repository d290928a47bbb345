"""The stock of hardware tokens: what goes in, who gets one, and what it has spent."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from wardgate.account.authenticator import from_row as authenticator_from
from wardgate.account.token import Token, TokenState
from wardgate.account.token import from_row as token_from
from wardgate.admin import authenticators, tokens, users
from wardgate.admin.office import Office
from wardgate.admin.seed_files import Seed
from wardgate.audit.trail import chain_for
from wardgate.backup.epoch import open_epoch
from wardgate.clock import FixedClock
from wardgate.crypto import Secret
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.factors.totp import hotp, time_step
from wardgate.storage.port import Insert, Row, Update

SEED = Secret(b"12345678901234567890")
OTHER = Secret(b"98765432109876543210")
ADA = {"directory": "staff", "name": "ada"}
BOB = {"directory": "staff", "name": "bob"}


@pytest.fixture(autouse=True)
async def people(office: Office) -> None:
    await users.add_user(office, **ADA)
    await users.add_user(office, **BOB)


def piece(*seeds: Seed) -> Secret:
    return Secret(json.dumps([tokens.seed_values(place, seed) for place, seed in enumerate(seeds, start=2)]))


async def stock(
    office: Office, serial: str = "A1", kind: str = "hotp", secret: Secret = SEED, *, replace: bool = False
) -> dict[str, object]:
    return await tokens.import_tokens(office, piece(Seed(serial, kind, secret)), replace=replace)


async def row_of(office: Office, table: str, **key: str) -> Row:
    row = await office.storage.get(table, dict(key))
    assert row is not None
    return row


async def state(office: Office, serial: str) -> str:
    listed = await tokens.list_tokens(office)
    return next(str(each["state"]) for each in listed["tokens"] if each["serial"] == serial)


async def spend(office: Office, authenticator_id: str, counter: int) -> None:
    await office.storage.commit([Update("authenticator", {"id": authenticator_id}, {"counter": counter})])


async def test_a_token_is_stocked_given_and_taken_back(office: Office) -> None:
    assert await stock(office) == {"imported": 1, "refused": 0, "problems": []}
    assert await state(office, "A1") == "spare"
    given = await tokens.assign_token(office, **ADA, serial="a 1")
    made = authenticator_from(await row_of(office, "authenticator", id=str(given["id"])))
    assert (made.kind, made.settings["serial"], made.open(office.ring).reveal()) == ("hotp", "A1", SEED.reveal())
    assert (await row_of(office, "token", serial="A1"))["sealed"] is None
    assert await state(office, "A1") == "assigned"
    await tokens.return_token(office, serial="A1")
    assert await state(office, "A1") == "returned"
    assert (await row_of(office, "authenticator", id=made.id))["sealed"] is None
    assert token_from(await row_of(office, "token", serial="A1")).open(office.ring).reveal() == SEED.reveal()


async def press_twice(office: Office, counter: int) -> dict[str, object]:
    codes = [hotp(SEED, each, 6) for each in (counter, counter + 1)]
    return await tokens.resync_token(office, serial="A1", first=codes[0], second=codes[1])


async def test_a_code_that_the_last_owner_noted_is_not_good_for_the_next(office: Office) -> None:
    """He presses it forty times before he gives it back, and uses none of these codes."""
    await stock(office)
    first = await tokens.assign_token(office, **ADA, serial="A1")
    await spend(office, str(first["id"]), 17)
    await tokens.return_token(office, serial="A1")
    with pytest.raises(Conflict, match="resync"):
        await tokens.assign_token(office, **BOB, serial="A1")
    assert (await press_twice(office, 57))["skipped"] == 40
    assert await state(office, "A1") == "spare"
    second = await tokens.assign_token(office, **BOB, serial="A1")
    assert authenticator_from(await row_of(office, "authenticator", id=str(second["id"]))).counter == 59
    events = [row for row in await office.storage.find("audit_event") if row["kind"] == "account:authenticator:resynced"]
    assert ["A1" in str(row["payload"]) for row in events] == [True]


async def test_codes_that_were_used_bring_no_returned_token_into_step(office: Office) -> None:
    await stock(office)
    given = await tokens.assign_token(office, **ADA, serial="A1")
    await spend(office, str(given["id"]), 17)
    await tokens.return_token(office, serial="A1")
    with pytest.raises(UsageError):
        await press_twice(office, 15)
    assert await state(office, "A1") == "returned"


async def test_a_token_that_goes_by_time_is_given_on_at_once(office: Office) -> None:
    """Nobody can note its codes of tomorrow."""
    await stock(office, kind="totp")
    await tokens.assign_token(office, **ADA, serial="A1")
    await tokens.return_token(office, serial="A1")
    assert await state(office, "A1") == "spare"
    await tokens.assign_token(office, **BOB, serial="A1")


async def test_a_seed_that_is_imported_anew_forgets_nothing_that_was_spent(office: Office) -> None:
    await stock(office)
    given = await tokens.assign_token(office, **ADA, serial="A1")
    await spend(office, str(given["id"]), 17)
    await authenticators.revoke_authenticator(office, authenticator_id=str(given["id"]))
    assert await state(office, "A1") == "ended"
    assert (await stock(office))["refused"] == 1
    assert (await stock(office, replace=True))["imported"] == 1
    assert await state(office, "A1") == "returned"
    assert (await stock(office, replace=True))["imported"] == 1
    assert await state(office, "A1") == "returned", "once more changes nothing"
    await press_twice(office, 17)
    second = await tokens.assign_token(office, **BOB, serial="A1")
    assert authenticator_from(await row_of(office, "authenticator", id=str(second["id"]))).counter == 19


async def meanwhile(office: Office, monkeypatch: pytest.MonkeyPatch, does: Callable[[], Awaitable[object]]) -> None:
    """Do something between what is read next of a token and what is made of it."""
    read = tokens._token

    async def reading(of: Office, serial: str) -> Token:
        monkeypatch.setattr(tokens, "_token", read)
        found = await read(of, serial)
        await does()
        return found

    monkeypatch.setattr(tokens, "_token", reading)


async def test_a_seed_that_was_replaced_meanwhile_is_not_given(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maker took the old seed back because others know it: the person must not get it, nor the new one be lost."""
    await stock(office)
    await meanwhile(office, monkeypatch, lambda: stock(office, secret=OTHER, replace=True))
    with pytest.raises(Conflict):
        await tokens.assign_token(office, **ADA, serial="A1")
    assert await office.storage.count("authenticator") == 0
    assert token_from(await row_of(office, "token", serial="A1")).open(office.ring).reveal() == OTHER.reveal()
    given = await tokens.assign_token(office, **ADA, serial="A1")
    made = authenticator_from(await row_of(office, "authenticator", id=str(given["id"])))
    assert made.open(office.ring).reveal() == OTHER.reveal()


async def test_a_token_that_was_replaced_meanwhile_is_not_removed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await stock(office)
    await meanwhile(office, monkeypatch, lambda: stock(office, secret=OTHER, replace=True))
    with pytest.raises(Conflict):
        await tokens.remove_token(office, serial="A1")
    assert await state(office, "A1") == "spare"


async def test_a_token_that_is_given_meanwhile_is_not_replaced(office: Office) -> None:
    """Both at once, many times: either the person has the token with the seed that lies nowhere else, or nobody has it."""
    for number in range(20):
        serial, secret = f"B{number}", Secret(b"%020d" % number)
        await stock(office, serial, secret=secret)
        whose = {"directory": "staff", "name": f"user{number}"}
        await users.add_user(office, **whose)
        await asyncio.gather(
            stock(office, serial, secret=OTHER, replace=True),
            tokens.assign_token(office, **whose, serial=serial),
            return_exceptions=True,
        )
        token = await row_of(office, "token", serial=serial)
        assert (token["sealed"] is None) == (token["state"] == "assigned")


async def test_a_token_that_somebody_has_is_not_replaced_given_or_removed(office: Office) -> None:
    await stock(office)
    await tokens.assign_token(office, **ADA, serial="A1")
    told = await stock(office, secret=OTHER, replace=True)
    assert told["imported"] == 0
    with pytest.raises(Conflict):
        await tokens.assign_token(office, **BOB, serial="A1")
    with pytest.raises(Conflict):
        await tokens.remove_token(office, serial="A1")


async def test_of_two_who_give_one_token_one_is_refused(office: Office) -> None:
    await stock(office)
    done = await asyncio.gather(*(tokens.assign_token(office, **each, serial="A1") for each in (ADA, BOB)), return_exceptions=True)
    assert sorted(isinstance(each, Exception) for each in done) == [False, True]
    assert await office.storage.count("authenticator") == 1


async def test_a_code_that_is_used_while_the_token_is_taken_back_stays_used(office: Office) -> None:
    await stock(office)
    given = await tokens.assign_token(office, **ADA, serial="A1")
    await spend(office, str(given["id"]), 5)
    await asyncio.gather(tokens.return_token(office, serial="A1"), spend(office, str(given["id"]), 6))
    counters = [
        token_from(await row_of(office, "token", serial="A1")).counter,
        authenticator_from(await row_of(office, "authenticator", id=str(given["id"]))).counter,
    ]
    assert counters[0] >= 5
    assert counters[0] == counters[1] or counters == [5, 6]


async def test_the_same_seed_is_not_given_twice_to_one_person(office: Office) -> None:
    await authenticators.add_hotp(office, **ADA, secret_hex=SEED.reveal().hex())
    await stock(office)
    with pytest.raises(AlreadyExists):
        await tokens.assign_token(office, **ADA, serial="A1")


async def test_two_codes_in_a_row_bring_a_token_into_step(office: Office) -> None:
    await stock(office)
    given = await tokens.assign_token(office, **ADA, serial="A1")
    pair = [hotp(SEED, counter, 6) for counter in (700, 701)]
    with pytest.raises(UsageError):
        await tokens.resync_token(office, serial="A1", first=pair[1], second=pair[0])
    told = await tokens.resync_token(office, serial="A1", first=pair[0], second=pair[1])
    assert told["skipped"] == 700
    assert authenticator_from(await row_of(office, "authenticator", id=str(given["id"]))).counter == 702
    with pytest.raises(UsageError):
        await tokens.resync_token(office, serial="A1", first=pair[0], second=pair[1])


async def test_looking_for_codes_that_are_none_keeps_nobody_waiting(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand codes are looked at, each once, and others have their turns all the time."""
    await stock(office)
    await tokens.assign_token(office, **ADA, serial="A1")
    codes = turns = most = 0

    def counting(secret: Secret, counter: int, digits: int) -> str:
        nonlocal codes
        codes += 1
        return hotp(secret, counter, digits)

    async def others() -> None:
        nonlocal turns, most
        while True:
            before = codes
            await asyncio.sleep(0)
            most, turns = max(most, codes - before), turns + 1

    monkeypatch.setattr(tokens, "hotp", counting)
    waiting = asyncio.create_task(others())
    with pytest.raises(UsageError):
        await tokens.resync_token(office, serial="A1", first="000000", second="000000")
    waiting.cancel()
    assert codes == tokens.RESYNC_AHEAD + 1
    assert most <= tokens.RESYNC_TURN
    assert turns >= tokens.RESYNC_AHEAD // tokens.RESYNC_TURN - 1


async def test_a_token_that_goes_by_time_cannot_be_resynced(office: Office) -> None:
    await stock(office, kind="totp")
    with pytest.raises(Conflict):
        await tokens.resync_token(office, serial="A1", first="1", second="2")
    await tokens.assign_token(office, **ADA, serial="A1")
    with pytest.raises(UsageError):
        await tokens.resync_token(office, serial="A1", first="1", second="2")


async def test_a_removed_token_is_gone_with_its_seed(office: Office) -> None:
    await stock(office)
    await tokens.remove_token(office, serial="A1")
    with pytest.raises(NotFound):
        await tokens.assign_token(office, **ADA, serial="A1")
    assert await office.storage.count("token") == 0


async def test_a_seed_is_in_no_answer_row_or_event(office: Office) -> None:
    await stock(office)
    await tokens.assign_token(office, **ADA, serial="A1")
    everywhere = repr(await tokens.list_tokens(office)) + repr(await office.storage.find("token"))
    everywhere += repr(await office.storage.find("audit_event")) + repr(await office.storage.find("authenticator"))
    assert SEED.reveal().hex() not in everywhere
    assert SEED.reveal().decode() not in everywhere
    kinds = [str(row["kind"]) for row in await office.storage.find("audit_event", order_by="seq")]
    assert kinds[2:] == ["admin:token:imported", "account:subject:created", "account:authenticator:added"]


async def test_a_number_that_comes_twice_is_told(office: Office) -> None:
    told = await tokens.import_tokens(office, piece(Seed("A1", "hotp", SEED), Seed("A1", "hotp", OTHER)))
    assert (told["imported"], told["refused"]) == (1, 1)
    assert told["problems"][0]["place"] == 3


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"place":1}]', "x", json.dumps([{}] * 501)])
async def test_a_piece_that_is_none_is_refused(office: Office, text: str) -> None:
    with pytest.raises(UsageError):
        await tokens.import_tokens(office, Secret(text))


async def test_the_stock_is_listed_by_state(office: Office) -> None:
    await tokens.import_tokens(office, piece(*(Seed(f"A{number}", "hotp", Secret(bytes([number]) * 20)) for number in range(1, 4))))
    await tokens.assign_token(office, **ADA, serial="A1")
    gone = await tokens.assign_token(office, **ADA, serial="A2")
    await authenticators.revoke_authenticator(office, authenticator_id=str(gone["id"]))
    for wanted, serial in (("assigned", "A1"), ("ended", "A2"), ("spare", "A3")):
        listed = await tokens.list_tokens(office, state=wanted)
        assert [each["serial"] for each in listed["tokens"]] == [serial]
    with pytest.raises(UsageError):
        await tokens.list_tokens(office, state="lost")


async def test_after_a_restore_a_token_of_the_stock_proves_nothing_that_may_be_spent(office: Office, clock: FixedClock) -> None:
    await stock(office)
    await stock(office, "A2", "totp", OTHER)
    await office.storage.commit([Insert("installation", {"name": "epoch", "value": "1"})])
    opened = await open_epoch(office.storage, office.ring, clock, "operator:olga", {}, writer="test")
    assert (opened.raised, opened.held) == (1, 1)
    office.storage.use_chain(chain_for(office.ring, "test", 2))
    held = await tokens.assign_token(office, **ADA, serial="A1")
    assert held["held"] is True
    assert (await row_of(office, "authenticator", id=str(held["id"])))["state"] == "held"
    timed = await tokens.assign_token(office, **BOB, serial="A2")
    step = time_step(datetime(2026, 1, 5, 8, 0, tzinfo=UTC), 30)
    assert authenticator_from(await row_of(office, "authenticator", id=str(timed["id"]))).counter == step + 1
    await tokens.return_token(office, serial="A1")
    assert await state(office, "A1") == TokenState.RETURNED, "two of its codes show where it stands, whatever was used before"
