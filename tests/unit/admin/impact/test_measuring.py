"""What another document means for how many users: counted over directories in memory and the local one."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.admin.memory_kind import register
from wardgate.account.authenticator import create_authenticator
from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import create_subject
from wardgate.admin import users as local_users
from wardgate.admin.impact import Wanted, decides_otherwise, measure, measuring, people, unheard
from wardgate.admin.impact.enrolments import enrolled_of
from wardgate.admin.impact.rest import Rest
from wardgate.admin.office import Office
from wardgate.clock import SystemClock
from wardgate.config.document import Document, parse
from wardgate.crypto import Secret
from wardgate.directory import memory
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser
from wardgate.errors import NotFound, UsageError
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import About, Enrolment, Given, Prepared
from wardgate.kba.settings import KbaSettings
from wardgate.policy.facts import Facts
from wardgate.storage.port import Insert

GATEWAY = {"name": "sms", "kind": "http", "request": {"url": "https://sms.test/", "json": {"to": "{number}", "text": "{text}"}}}
USUAL = {"steps": [["password"], ["totp", "sms"]]}
CODE = {"steps": [["password"], ["totp"]]}
ALONE = {"steps": [["password"]]}
NONE = {"locked_out": 0, "denied": 0, "weaker": 0, "let_in": 0, "stronger": 0, "changed": 0}


def document(*rules: dict[str, Any], **given: Any) -> Document:
    """One realm with the directory `acme`, one application; rules are given names."""
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    usual: dict[str, Any] = {
        "realms": [{"name": "r", "default": True, "directories": ["acme"]}],
        "directories": [{"name": "acme", "kind": "local"}],
        "gateways": [GATEWAY],
        "networks": [{"name": "office", "cidr": ["10.0.0.0/8"]}],
        "applications": [{"name": "vpn", "policy": "p"}],
        "policies": [{"name": "p", "rules": named or [{"name": "all", "then": USUAL}]}],
    }
    return parse({**usual, **given})


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> MemoryDirectory:
    """The directory that every test's documents name: whatever its settings, it is this one."""
    directory = MemoryDirectory("acme")
    register(directory, monkeypatch)
    monkeypatch.setattr("wardgate.admin.people.build_directory", lambda settings, parts: directory)
    return directory


async def impact(office: Office, before: Document | None, after: Document, **wanted: Any) -> dict[str, Any]:
    return await measure(office, before, after, Wanted(**wanted), unheard)


async def enrol(office: Office, user: DirectoryUser, *kinds: str, phone: str = "") -> None:
    subject_id, operations = create_subject(user.directory, user.immutable_id, 1)
    for kind in kinds:
        operations.append(create_authenticator(office.ring, subject_id, kind, "", {}, Secret(b"x" * 20), 0, 1)[1])
    if phone:
        operations += create_contact(office.ring, subject_id, ContactKind.PHONE, phone, Source.OPERATOR, 1, 1)
    await office.storage.commit(operations)


def effects(told: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in told["effects"].items() if count}


# --- each effect ---------------------------------------------------------------------------------------------------------


async def test_who_lacks_the_factor_is_locked_out_and_who_has_it_is_asked_for_more(office: Office, acme: MemoryDirectory) -> None:
    await enrol(office, acme.add("ada", "x", groups=("vpn",)), "totp")
    acme.add("bob", "x", phone="+905321234567", groups=("vpn", "sales"))
    await enrol(office, acme.add("cyd", "x"), phone="+905321234568")
    acme.add("dan", "x")  # has nothing now either
    told = await impact(office, document({"then": USUAL}), document({"then": CODE}))

    assert (told["looked_at"], told["users"], told["complete"]) == (4, 3, True)
    assert told["effects"] == {**NONE, "stronger": 1, "locked_out": 2}
    assert told["groups"] == [
        {"group": "acme:vpn", "effects": {**NONE, "stronger": 1, "locked_out": 1}},
        {"group": None, "effects": {**NONE, "locked_out": 1}},
        {"group": "acme:sales", "effects": {**NONE, "locked_out": 1}},
    ]
    assert told["examples"]["locked_out"][0] == {
        "user": "bob",
        "directory": "acme",
        "application": "vpn",
        "situation": "elsewhere",
        "before": "password, then totp or sms; rule r0",
        "after": "password, then totp; rule r0",
        "enrolled": ["sms"],
    }
    assert told["applications"][0]["effects"] == told["effects"]


async def test_who_has_not_answered_is_locked_out_where_answers_are_the_step(office: Office, acme: MemoryDirectory) -> None:
    catalogue = compile_catalogue(KbaSettings(), ())
    enrolment = Enrolment(office.storage, office.ring, office.hasher, office.clock, catalogue)
    for name, count in (("ada", 3), ("bob", 2), ("cyd", 0)):
        user = acme.add(name, "x")
        subject_id, operations = create_subject(user.directory, user.immutable_id, 1)
        await office.storage.commit(operations)
        given = [
            Given(Secret(f"answer {letter}"), question_id=question)
            for letter, question in zip("abc", ("dish", "lost", "toy"), strict=True)
        ]
        made = await enrolment.prepare(About(subject_id), given[:count], "test")
        assert isinstance(made, Prepared)
        await office.storage.commit(made.operations)
    told = await impact(office, document({"then": ALONE}), document({"then": {"steps": [["password"], ["kba"]]}}))
    assert effects(told) == {"stronger": 1, "locked_out": 2}
    assert sorted(each["user"] for each in told["examples"]["locked_out"]) == ["bob", "cyd"]
    assert told["examples"]["stronger"][0]["enrolled"] == ["kba"]


async def test_rules_about_networks_are_looked_at_from_inside_and_outside(office: Office, acme: MemoryDirectory) -> None:
    """A login without an address would never show that the office is opened."""
    await enrol(office, acme.add("ada", "x"), "totp")
    before, after = document({"then": CODE}), document({"when": {"network": ["office"]}, "then": ALONE}, {"then": CODE})
    told = await impact(office, before, after)

    assert effects(told) == {"weaker": 1}
    assert told["applications"][0]["situations"] == ["office", "elsewhere"]
    assert told["examples"]["weaker"][0]["situation"] == "office"
    assert effects(await impact(office, before, after, client="203.0.113.7")) == {}


async def test_denied_and_let_in(office: Office, acme: MemoryDirectory) -> None:
    for name, group in (("ada", "staff"), ("bob", "contractors")):
        await enrol(office, acme.add(name, "x", groups=(group,)), "totp")
    before = document({"when": {"group": ["acme:staff"]}, "then": CODE})
    after = document({"when": {"group": ["r:contractors"]}, "then": CODE})
    told = await impact(office, before, after)

    assert effects(told) == {"denied": 1, "let_in": 1}
    assert [told["examples"][effect][0]["user"] for effect in ("denied", "let_in")] == ["ada", "bob"]
    assert told["examples"]["denied"][0]["after"] == "refused: no rule matches"


async def test_a_gateway_that_goes_locks_out_whoever_has_nothing_but_messages(office: Office, acme: MemoryDirectory) -> None:
    await enrol(office, acme.add("ada", "x", phone="+905321234567"), "totp")
    acme.add("bob", "x", phone="+905321234568")
    told = await impact(office, document(), document(gateways=[]))

    assert effects(told) == {"locked_out": 1}
    assert told["examples"]["locked_out"][0]["user"] == "bob"


async def test_what_is_demanded_after_a_login_counts_too(office: Office, acme: MemoryDirectory) -> None:
    await enrol(office, acme.add("ada", "x"), "totp")
    acme.add("bob", "x", phone="+905321234568")
    actions = [{"name": "apps", "then": [{"enrol": "totp", "level": "forced"}]}]
    after = document(policies=[{"name": "p", "rules": [{"name": "all", "then": USUAL}], "actions": actions}])
    told = await impact(office, document(), after)

    assert effects(told) == {"stronger": 1}
    assert told["examples"]["stronger"][0]["after"] == "password, then totp or sms; forced enrol:totp; rule all"


async def test_a_self_service_goal_is_compared_by_its_needs(office: Office, acme: MemoryDirectory) -> None:
    acme.add("bob", "x", groups=("sales",))
    acme.add("ada", "x")
    rules = [{"name": "sales", "when": {"group": ["acme:sales"]}, "then": {"proofs": 1, "weight": 2}}]
    policy = {"name": "p", "rules": [{"name": "all", "then": USUAL}], "self_service": {"reset": {"rules": rules}}}

    assert effects(await impact(office, document(), document(policies=[policy]), goal="reset")) == {"weaker": 1}
    assert effects(await impact(office, document(), document(policies=[policy]))) == {}


async def test_a_realm_that_goes_and_one_that_comes(office: Office, acme: MemoryDirectory) -> None:
    await enrol(office, acme.add("ada", "x"), "totp")
    without = document(
        realms=[{"name": "r", "default": True, "directories": ["other"]}], directories=[{"name": "other", "kind": "local"}]
    )
    told = await impact(office, document(), without, application="vpn")

    # What the other directory's settings build is this one here: nobody is counted twice for it.
    assert told["effects"]["denied"] >= 1
    assert told["examples"]["denied"][0]["after"] == "not a user: no realm asks this directory"
    assert (await impact(office, None, document()))["effects"]["let_in"] == 1


async def test_a_user_of_two_realms_counts_once(office: Office, acme: MemoryDirectory) -> None:
    await enrol(office, acme.add("ada", "x", groups=("g",)), "totp", phone="+905321234567")
    realms = [{"name": "r", "default": True, "directories": ["acme"]}, {"name": "s", "directories": ["acme"]}]
    told = await impact(office, document({"then": CODE}, realms=realms), document({"then": USUAL}, realms=realms))

    assert (told["users"], effects(told)) == (1, {"weaker": 1})
    assert told["groups"] == [{"group": "acme:g", "effects": {**NONE, "weaker": 1}}]


async def test_accounts_that_may_not_be_used_are_left_out(office: Office, acme: MemoryDirectory) -> None:
    for name, state in (("ada", AccountState.DISABLED), ("bob", AccountState.EXPIRED), ("eve", AccountState.LOCKED)):
        acme.add(name, "x", state=state, phone="+905321234567")
    told = await impact(office, document(), document({"then": CODE}))

    assert (told["looked_at"], told["not_usable"], effects(told)) == (3, 2, {"locked_out": 1})


async def test_an_app_that_a_restore_holds_and_a_contact_that_nobody_verified(office: Office, acme: MemoryDirectory) -> None:
    ada, bob = acme.add("ada", "x"), acme.add("bob", "x")
    await enrol(office, ada, "totp", phone="+905321234567")
    subject_id, operations = create_subject("acme", bob.immutable_id, 1)
    contact = create_contact(office.ring, subject_id, ContactKind.PHONE, "+905321234568", Source.PERSON, None, 1)
    await office.storage.commit([*operations, *contact])

    found = await enrolled_of(office, "acme", [ada, bob, acme.add("eve", "x", mail="eve@acme.test")], Rest(office.clock))
    assert found == [{"totp", "sms"}, frozenset(), {"email"}]


# --- what does not decide ------------------------------------------------------------------------------------------------


async def test_what_decides_nothing_looks_at_nobody(office: Office, acme: MemoryDirectory) -> None:
    acme.behaviour = Behaviour.UNAVAILABLE
    before = document({"then": CODE})
    tests = [{"given": {"user": "ada"}, "expect": {"rule": "r0"}}]
    other = document(
        networks=[{"name": "unused", "cidr": ["10.0.0.0/8"]}],
        policies=[{"name": "p", "rules": [{"name": "r0", "then": CODE}], "tests": tests}],
        codes={"digits": 8},
    )

    assert not await decides_otherwise(before, other)
    told = await impact(office, before, other)
    assert (told["looked_at"], told["total"], told["applications"], told["complete"]) == (0, 0, [], True)


async def test_a_nas_that_comes_decides_nothing_and_one_that_vouches_does(office: Office, acme: MemoryDirectory) -> None:
    def through(*names: str, **given: Any) -> Document:
        secret = {"value": "s3cret-of-the-firewall"}
        nas = [
            {"name": name, "addresses": [f"127.0.0.{at}"], "secret": secret, "application": "vpn", **given}
            for at, name in enumerate(names, 1)
        ]
        return document({"then": CODE}, nas=nas)

    await enrol(office, acme.add("ada", "x"), "totp")
    assert not await decides_otherwise(through("fw"), through("fw", "branch"))
    told = await impact(office, through("fw"), through("fw", mode="code_only"))
    assert effects(told) == {"weaker": 1}
    assert told["examples"]["weaker"][0]["after"] == "totp; rule r0"


async def test_an_application_of_another_policy_is_not_looked_at(office: Office, acme: MemoryDirectory) -> None:
    applications = [{"name": "vpn", "policy": "p"}, {"name": "wifi"}]
    told = await impact(office, document(applications=applications), document({"then": CODE}, applications=applications))

    assert [each["application"] for each in told["applications"]] == ["vpn"]


# --- what cannot be done -------------------------------------------------------------------------------------------------


async def test_a_directory_that_is_down_is_told_and_not_taken_for_empty(office: Office, acme: MemoryDirectory) -> None:
    acme.behaviour = Behaviour.UNAVAILABLE
    told = await impact(office, document(), document({"then": CODE}))

    assert not told["complete"]
    assert told["problems"] == [{"directory": "acme", "problem": "directory acme refuses the connection"}]


async def test_a_directory_that_cannot_list_its_users_is_told(
    office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardgate.admin.people.build_directory", lambda settings, parts: object())
    told = await impact(office, document(), document({"then": CODE}))

    assert told["problems"] == [{"directory": "acme", "problem": "a directory of kind local does not list its users"}]


@pytest.mark.parametrize("wanted", [{"goal": "lunch"}, {"application": "x"}, {"nas": "x"}, {"at": "some day"}, {"client": "home"}])
async def test_what_is_not_there_is_refused(office: Office, acme: MemoryDirectory, wanted: dict[str, Any]) -> None:
    with pytest.raises((UsageError, NotFound, measuring.SettingsError)):
        await impact(office, document(), document({"then": CODE}), **wanted)


async def test_time_that_runs_out_leaves_at_least_so_many(
    office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "USERS_PER_PAGE", 10)
    for number in range(30):
        acme.add(f"user-{number}", "x", phone="+905321234567")
    heard: list[dict[str, object]] = []

    def hear(event: Any) -> None:
        heard.append(dict(event))
        office.clock.advance(6)  # type: ignore[attr-defined]

    told = await measure(office, document(), document({"then": CODE}), Wanted(limit_s=10), hear)

    assert (told["looked_at"], told["complete"], effects(told)) == (20, False, {"locked_out": 20})
    assert told["problems"] == [{"directory": "acme", "problem": "not all users were looked at within 10 s"}]
    assert [event["looked_at"] for event in heard] == [10, 20]


async def test_a_silent_directory_holds_a_comparison_up_no_longer_than_its_limit(office: Office, acme: MemoryDirectory) -> None:
    acme.add("ada", "x")
    acme.behaviour = Behaviour.SILENT
    real = Office(office.storage, office.ring, SystemClock(), office.hasher, "test")
    async with asyncio.timeout(20):
        told = await impact(real, document(), document({"then": CODE}), limit_s=0.2)

    assert (told["looked_at"], told["complete"]) == (0, False)


async def test_memory_and_groups_are_bounded(office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(people, "MAX_REMEMBERED", 3)
    monkeypatch.setattr("wardgate.admin.impact.counting.MAX_GROUPS_COUNTED", 5)
    for number in range(40):
        acme.add(f"user-{number}", "x", groups=(f"g{number}",), phone="+905321234567")
    rules = [{"when": {"group": [f"acme:g{number}"]}, "then": USUAL} for number in range(40)]
    told = await impact(office, document(*rules), document({"then": CODE}))

    assert effects(told) == {"locked_out": 40}
    assert (len(told["groups"]), told["groups_left_out"]) == (5, 1)
    assert len(told["examples"]["locked_out"]) == 20


# --- many ----------------------------------------------------------------------------------------------------------------


def _rules(chance: random.Random) -> Iterator[dict[str, Any]]:
    thens = (USUAL, CODE, ALONE, {"deny": True}, {"steps": [["password"], ["hotp", "totp"], ["sms", "totp"]]})
    whens = (
        lambda: {"group": [f"acme:g{chance.randrange(4)}"]},
        lambda: {"attribute": {"title": [f"t{chance.randrange(3)}"]}},
        lambda: {"attribute": {"title": {"matches": f"t[{chance.randrange(3)}-9]"}}},
        lambda: {"user": [f"User-{chance.randrange(60)}"]},
        lambda: {"enrolled": [chance.choice(("totp", "sms", "hotp"))]},
        lambda: {"network": [chance.choice(("office", "192.0.2.0/24"))], "group": [f"r:g{chance.randrange(4)}"]},
        lambda: {"not": {"group": [f"acme:g{chance.randrange(4)}"]}, "ou": ["acme:ou=sales,dc=acme"]},
        lambda: {"any": [{"realm": ["r"]}, {"enrolled_not": ["totp"]}], "directory": ["acme"]},
    )
    for _ in range(chance.randrange(1, 7)):
        yield {"when": chance.choice(whens)(), "then": chance.choice(thens)}


@pytest.mark.parametrize("seed", range(12))
async def test_people_who_are_decided_about_together_are_decided_about_as_if_alone(
    office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Deciding once for all whom the policies cannot tell apart must change no count and no name."""
    chance = random.Random(seed)
    for number in range(60):
        groups = tuple(f"g{each}" for each in range(4) if chance.random() < 0.4)
        title, ou = f"t{chance.randrange(3)}", chance.choice(("sales", "it"))
        attributes = {"title": (title,), "dn": (f"cn=u{number},ou={ou},dc=acme",)}
        phone = "+905321234567" if chance.random() < 0.5 else None
        user = acme.add(f"user-{number}", "x", groups=groups, attributes=attributes, phone=phone)
        await enrol(office, user, *(kind for kind in ("totp", "hotp") if chance.random() < 0.5))
    before, after = (document(*_rules(chance), {"then": USUAL}) for _ in range(2))
    together = await impact(office, before, after)
    marks = iter(range(10**6))

    def each_alone(self: people.Telling, person: people.Person, facts: Facts) -> people.Mark:
        return (frozenset({str(next(marks))}),)

    monkeypatch.setattr(people.Telling, "mark", each_alone)
    assert together == await impact(office, before, after)
    assert together["looked_at"] == 60


async def test_a_few_thousand_local_users_are_looked_at_in_time(office: Office) -> None:
    """The deadline is a hundred times what it takes; `bench.impact` measures."""
    count = 3_000
    await local_users.add_user(office, directory="acme", name="u0", phone="+905321234567", groups=("staff",))
    [first] = await office.storage.find("local_user", limit=1)
    others = [{**first, "id": f"id-{number}", "name": f"u{number}", "name_key": f"u{number}"} for number in range(1, count)]
    for start in range(0, len(others), 1_000):
        await office.storage.commit([Insert("local_user", row) for row in others[start : start + 1_000]])
    heard: list[object] = []
    async with asyncio.timeout(60):
        told = await measure(office, document(), document({"then": CODE}), Wanted(), lambda event: heard.append(event["looked_at"]))

    assert (told["looked_at"], told["total"], effects(told)) == (count, count, {"locked_out": count})
    assert heard == [500, 1000, 1500, 2000, 2500, 3000]
