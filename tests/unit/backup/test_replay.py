"""Revocations after the backup come back from an exported audit: what was taken away, nothing that was given."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.backup.conftest import STAFF, Plant, at_work
from wardgate.account.authenticator import AuthenticatorState
from wardgate.account.device import make
from wardgate.account.subject import SubjectId
from wardgate.admin import authenticators, freezes, nas, questions, subjects, users
from wardgate.admin.office import Office
from wardgate.admin.party_checks import party_findings
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.trail import chain_for
from wardgate.clock import from_ms, to_ms
from wardgate.config.store import edit, load_current
from wardgate.crypto import Secret
from wardgate.directory.local.passwords import NewPasswords
from wardgate.directory.port import AccountState
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.errors import Conflict, UsageError
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.federation.signing_keys import Change, load_keys, make_first_keys, roll_key
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import About, Enrolment, Given, Prepared
from wardgate.kba.settings import KbaSettings
from wardgate.settings import StartSettings
from wardgate.storage.port import Row, Update, Where


async def export(plant: Plant, data: str = "data") -> Path:
    """The audit as the operator had exported it before the loss."""
    path = plant.data.parent / "audit.jsonl"
    with path.open("w") as file:
        async for row in events(plant, data):
            plain = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
            plain["created_at"] = from_ms(int(row["created_at"] or 0)).isoformat()
            plain["payload"] = json.loads(str(row["payload"])) if row["payload"] is not None else None
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")
    return path


async def events(plant: Plant, data: str) -> AsyncIterator[Row]:
    for row in sorted(await plant.rows("audit_event", data), key=lambda row: (str(row["writer"]), row["epoch"], row["seq"])):
        yield row


def named(name: str) -> dict[str, str]:
    return {"directory": STAFF, "name": name}


async def test_what_was_revoked_after_the_backup_stays_revoked(plant: Plant) -> None:
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        for kind in ("totp", "recovery"):
            await authenticators.revoke_authenticator(office, **named("ada"), authenticator_id=plant.ids[kind])
        await users.disable_user(office, **named("erin"))
        await users.remove_user(office, **named("otto"))
        await users.set_password(office, **named("ada"), password=Secret("another one"))
        await nas.remove_nas(office, name="hq")
    restored = await plant.restore(file, export=await export(plant))
    assert len(restored.replayed.applied) == 6
    assert restored.replayed.not_applied == []

    for kind in ("totp", "recovery"):
        row = await plant.authenticator(kind)
        assert (row["state"], row["sealed"]) == (AuthenticatorState.REVOKED, None)
    assert await plant.rows("recovery_code") == []
    people = {str(row["name"]): row for row in await plant.rows("local_user")}
    assert set(people) == {"ada", "erin"}
    assert people["erin"]["state"] == AccountState.DISABLED
    # The password that was replaced must not open again; the new one is not in the export.
    assert people["ada"]["password_hash"] is None
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        assert (await load_current(office.storage))[1].nas == ()
    result = await plant.verified()
    assert result.findings == ()
    assert [head.seq for head in result.heads if head.epoch == 2] == [1 + 6]


async def test_a_device_that_was_forgotten_after_the_backup_stays_forgotten(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        shown = await subjects.show_subject(office, name="ada")
        for label in ("stolen", "kept"):
            _, operations = make(office.ring, SubjectId(shown["subject_id"]), label, to_ms(plant.clock.now()), 86_400)
            await office.storage.commit(operations)
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        devices = (await subjects.show_subject(office, name="ada"))["devices"]
        stolen = next(each["id"] for each in devices if each["label"] == "stolen")
        await subjects.forget_devices(office, name="ada", device=stolen)
    restored = await plant.restore(file, export=await export(plant))
    assert [stolen in told for told in restored.replayed.applied] == [True]
    assert [row["label"] for row in await plant.rows("trusted_device")] == ["kept"]


async def test_signing_key_that_had_given_way_does_not_sign_again(plant: Plant) -> None:
    """It may have been changed because others had it: a key of the backup is one that nobody believes any more."""
    async with at_work(plant.data, plant.clock) as (office, _):
        await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.P256])
    file, _ = await plant.back_up()
    plant.clock.advance(60)
    async with at_work(plant.data, plant.clock) as (office, _):
        for _ in range(2):
            await roll_key(office.storage, office.ring, office.clock, Change(KeyKind.P256, notice_days=0, stay_days=0), "olga")
            plant.clock.advance(60)
    restored = await plant.restore(file, export=await export(plant))
    assert len(restored.replayed.applied) == 1
    assert "p256-2 had taken the place" in restored.replayed.applied[0]
    assert restored.replayed.not_applied == []
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        keys, now_ms = await load_keys(office.storage, office.ring), office.now_ms()
        signing = keys.signing(KeyKind.P256, now_ms)
        assert signing is not None
        assert [key.name for key in keys.published(now_ms)] == [signing.name] == ["p256-3"]
    assert (await plant.verified()).findings == ()


async def test_signing_key_that_was_only_announced_is_announced_anew_by_hand(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.P256])
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await roll_key(office.storage, office.ring, office.clock, Change(KeyKind.P256), "olga")
    restored = await plant.restore(file, export=await export(plant))
    assert restored.replayed.applied == []
    assert "roll-key announces one anew" in restored.replayed.not_applied[0]
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        signing = (await load_keys(office.storage, office.ring)).signing(KeyKind.P256, office.now_ms())
        assert signing is not None
        assert signing.name == "p256-1"


async def test_restore_without_the_audit_says_which_key_signs_again_and_so_does_check(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.P256])
        wiki = SamlApplicationSettings(
            name="wiki", kind="saml", entity_id="urn:wiki", acs=("https://wiki.acme.test/acs",), key="p256"
        )
        await edit(
            office.storage, office.ring, lambda old: replace(old, applications=(*old.applications, wiki)), "olga", "", plant.clock
        )
        findings = await party_findings(office, (await load_current(office.storage))[1], StartSettings())
        assert "restored" not in "".join(each.what for each in findings)
    file, _ = await plant.back_up()
    plant.clock.advance(60)
    restored = await plant.restore(file)
    assert "p256-1 signs for applications as on the day of the backup" in restored.replayed.not_applied[0]
    async with at_work(plant.data.parent / "restored", plant.clock) as (office, _):
        for doubted in (True, False):
            findings = await party_findings(office, (await load_current(office.storage))[1], StartSettings())
            assert any("our signing key p256-1 was restored" in each.what for each in findings) is doubted
            plant.clock.advance(1)
            await roll_key(office.storage, office.ring, office.clock, Change(KeyKind.P256, notice_days=0, stay_days=0), "olga")


async def answered(office: Office, **answers: str) -> SubjectId:
    """Ada's answers to challenge questions, as she gave them."""
    subject = SubjectId((await subjects.show_subject(office, name="ada"))["subject_id"])
    enrolment = Enrolment(office.storage, office.ring, office.hasher, office.clock, compile_catalogue(KbaSettings(), ()))
    about = About(subject, details=named("ada"))
    made = await enrolment.prepare(about, [Given(Secret(text), question_id=name) for name, text in answers.items()], "ada")
    assert isinstance(made, Prepared)
    await office.storage.commit(made.operations)
    return subject


async def test_answers_that_were_cleared_after_the_backup_stay_cleared(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await answered(office, dish="Ratatouille", toy="Lokomotif")
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await questions.clear_answers(office, name="ada")
    restored = await plant.restore(file, export=await export(plant))
    assert len(restored.replayed.applied) == 1
    assert await plant.rows("kba_answer") == []
    assert [row["answers_version"] for row in await plant.rows("kba_state")] == [2]
    assert (await plant.verified()).findings == ()


async def test_answer_that_was_replaced_after_the_backup_is_not_right_again(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await answered(office, dish="Ratatouille", toy="Lokomotif")
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await answered(office, dish="Moussaka")
    restored = await plant.restore(file, export=await export(plant))
    assert len(restored.replayed.applied) == 1
    assert [row["question_id"] for row in await plant.rows("kba_answer")] == ["toy"]


async def test_what_was_given_after_the_backup_is_told_as_lost_and_not_given(plant: Plant) -> None:
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await authenticators.add_totp(office, **named("erin"))
        await users.add_user(office, **named("new"))
        await users.change_user(office, **named("erin"), groups=["admins"])
        await nas.add_nas(office, name="branch", addresses=["192.0.2.2"], application="vpn")
    restored = await plant.restore(file, export=await export(plant))
    assert restored.lost == {"account:authenticator:added": 1, "directory:user:added": 1}
    assert restored.replayed.applied == []
    assert [text.split(":")[0] for text in restored.replayed.not_applied] == [
        "erin",
        "version 4 of the configuration had been applied",
    ]
    assert {row["name"] for row in await plant.rows("local_user")} == {"ada", "erin", "otto"}
    assert all(row["groups"] == "[]" for row in await plant.rows("local_user"))


async def test_who_was_enabled_again_after_the_backup_is_not_disabled(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (office, _):
        await users.disable_user(office, **named("otto"))
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        for name in ("erin", "otto"):
            await users.disable_user(office, **named(name))
            await users.enable_user(office, **named(name))
    restored = await plant.restore(file, export=await export(plant))
    assert restored.replayed.applied == []
    people = {str(row["name"]): row["state"] for row in await plant.rows("local_user")}
    # What stood disabled in the backup is not enabled by an export.
    assert people == {"ada": AccountState.ACTIVE, "erin": AccountState.ACTIVE, "otto": AccountState.DISABLED}


async def test_a_freeze_after_the_backup_holds_and_one_in_the_backup_stays(plant: Plant) -> None:
    """Even one that was lifted since: lifting it is a right, and no export gives rights."""
    async with at_work(plant.data, plant.clock) as (office, _):
        await freezes.freeze_person(office, name="erin")
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        plant.clock.advance(90)
        await freezes.freeze_person(office, name="ada")
        await freezes.unfreeze_person(office, name="ada")
    restored = await plant.restore(file, export=await export(plant))
    assert restored.replayed.applied == ["the account of ada was frozen"]
    assert {row["set_by"] for row in await plant.rows("freeze")} == {"operator"}
    frozen = [row["id"] for row in await plant.rows("subject") if row["frozen_at"] is not None]
    assert sorted(map(str, frozen)) == sorted(str(row["subject_id"]) for row in await plant.rows("freeze"))
    assert len(frozen) == 2
    assert (await plant.verified()).findings == ()


async def test_an_epoch_frees_nothing_that_a_freeze_took_away(plant: Plant) -> None:
    async with at_work(plant.data, plant.clock) as (_, opened):
        [row] = await opened.storage.find("authenticator", [Where("id", "=", plant.ids["hotp"])])
        await opened.storage.commit([Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.FROZEN.value})])
    file, _ = await plant.back_up()
    await plant.restore(file)
    assert (await plant.authenticator("hotp"))["state"] == AuthenticatorState.FROZEN


async def test_a_lock_after_the_backup_holds_and_one_that_was_lifted_does_not(plant: Plant) -> None:
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        for name in ("ada", "erin", "otto"):
            await users.lock_user(office, **named(name))
        await users.unlock_user(office, **named("erin"))
        new = NewPasswords(LocalDirectorySettings(name=STAFF, kind="local"), office.storage, office.hasher)
        await users.set_password(office, **named("ada"), password=Secret("a lantern over the lake"), new=new)
    await plant.restore(file, export=await export(plant))
    people = {str(row["name"]): row["state"] for row in await plant.rows("local_user")}
    assert people == {"ada": AccountState.ACTIVE, "erin": AccountState.ACTIVE, "otto": AccountState.DISABLED}


@pytest.mark.parametrize("enabled_again", [False, True])
async def test_who_was_disabled_at_one_node_stays_disabled_whatever_another_node_did_before(
    plant: Plant, enabled_again: bool
) -> None:
    """Chains stand in an export one after the other: what stands further down need not have come later."""
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, opened):

        async def at(writer: str, change: Callable[..., Awaitable[object]]) -> None:
            opened.storage.use_chain(chain_for(office.ring, writer, opened.epoch))
            await change(office, **named("erin"))

        await at("zulu-node.0", users.disable_user)
        await at("zulu-node.0", users.enable_user)
        plant.clock.advance(90)
        await at("alpha-node.0", users.disable_user)
        if enabled_again:
            plant.clock.advance(90)
            await at("zulu-node.0", users.enable_user)
    restored = await plant.restore(file, export=await export(plant))
    assert len(restored.replayed.applied) == (0 if enabled_again else 1)
    people = {str(row["name"]): row["state"] for row in await plant.rows("local_user")}
    assert people["erin"] == (AccountState.ACTIVE if enabled_again else AccountState.DISABLED)


async def test_the_new_epoch_stands_above_every_one_that_the_export_knows(plant: Plant) -> None:
    first, _ = await plant.back_up("first.age")
    await plant.restore(first, "data2")
    later = Plant(plant.data.parent / "data2", plant.clock, plant.key_file, plant.recipient, plant.ids)
    async with at_work(later.data, plant.clock) as (office, _):
        await users.remove_user(office, **named("otto"))
    restored = await plant.restore(first, "third", export=await export(later, "data2"))
    assert restored.epoch.number == 3
    assert restored.replayed.applied == ["the user otto was removed"]
    assert (await plant.verified("third")).findings == ()


async def test_a_restore_by_a_clock_that_is_behind_lets_no_code_since_the_backup_count_again(plant: Plant) -> None:
    file, _ = await plant.back_up()
    plant.clock.advance(3600)
    async with at_work(plant.data, plant.clock) as (office, _):
        granted = AuditEvent(Kind.LOGIN_GRANTED, to_ms(plant.clock.now()), "engine", details={"user": "ada"})
        await office.storage.commit([record(granted)])
        # What a machine writes whose own clock is years ahead must not keep anybody from restoring.
        await office.storage.commit([record(AuditEvent(Kind.CLOCK_DIFFERS, 4_000_000_000_000, "server"))])
    told = await export(plant)
    plant.clock.advance(-1800)
    with pytest.raises(Conflict, match="before a login of the audit export"):
        await plant.restore(file, export=told)
    assert not (plant.data.parent / "restored" / "wardgate-installation").exists()
    plant.clock.advance(1800)
    assert (await plant.restore(file, export=told)).epoch.number == 2


async def test_a_forged_line_of_an_export_takes_nothing_away(plant: Plant) -> None:
    """Whoever can write the export could otherwise lock people out by it."""
    file, _ = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await users.disable_user(office, **named("erin"))
        await users.disable_user(office, **named("otto"))
    path = await export(plant)
    lines = path.read_text().splitlines()
    forged = json.loads(lines[-2])
    forged["payload"] = {**forged["payload"], "user": "ada", "user_id": await user_id(plant, "ada")}
    for content in (
        [*lines[:-2], json.dumps(forged), lines[-1]],
        [*lines[:-2], json.dumps({**forged, "commitment": "00" * 32, "salt": "00" * 16}), lines[-1]],
        [*lines[:-2], lines[-1]],
        [*lines[:-2], json.dumps({**json.loads(lines[-1]), "seq": json.loads(lines[-2])["seq"]})],
    ):
        path.write_text("\n".join(content) + "\n")
        target = f"forged{len(list(plant.data.parent.glob('forged*')))}"
        restored = await plant.restore(file, target, export=path)
        assert restored.replayed.applied == []
        assert "do not follow on the backup's" in restored.replayed.not_applied[0]
        assert all(row["state"] == AccountState.ACTIVE for row in await plant.rows("local_user", target))


async def user_id(plant: Plant, name: str) -> str:
    return next(str(row["id"]) for row in await plant.rows("local_user", "data") if row["name"] == name)


async def test_an_export_of_another_history_is_refused(plant: Plant) -> None:
    file, _ = await plant.back_up()
    path = await export(plant)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "link": "11" * 32})]) + "\n")
    with pytest.raises(UsageError, match="different stories"):
        await plant.restore(file, export=path)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"commitment": 1}',
        '{"commitment":"00","writer":"x","epoch":"y"}',
        "x" * 70_000,
        "[" * 60_000,
        '{"commitment":"00","writer":"x","epoch":Infinity,"seq":1,"kind":"x"}',
    ],
)
async def test_what_is_no_export_is_refused(plant: Plant, text: str) -> None:
    file, _ = await plant.back_up()
    path = plant.data.parent / "audit.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(UsageError):
        await plant.restore(file, export=path)
    with pytest.raises(UsageError):
        await plant.restore(file, export=plant.data.parent / "missing.jsonl")


async def test_an_erased_event_is_told_as_not_repeated(plant: Plant) -> None:
    file, made = await plant.back_up()
    async with at_work(plant.data, plant.clock) as (office, _):
        await users.disable_user(office, **named("erin"))
        await erase(office, made.summary.rows["audit_event"] + 1)
    restored = await plant.restore(file, export=await export(plant))
    assert restored.replayed.applied == []
    assert "erased" in restored.replayed.not_applied[0]


async def erase(office: Office, seq: int) -> None:
    key: Row = {"writer": "server", "epoch": 1, "seq": seq}
    await office.storage.commit([Update("audit_event", key, {"payload": None, "salt": None})])
