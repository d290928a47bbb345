"""A version of the document becomes what the rooms run on, whole or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.world import START, a_ring
from wardgate.clock import FixedClock
from wardgate.config.document import Document, parse
from wardgate.config.reference import EnvReference
from wardgate.config.secrets import seal_document
from wardgate.crypto import KeyRing, Secret
from wardgate.delivery.port import Channel
from wardgate.directory.local import LocalDirectory
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import PasswordNotAccepted, ServerState, ServerStatus
from wardgate.errors import SettingsError
from wardgate.passwords import PasswordHasher
from wardgate.runtime import Builder, servers_up
from wardgate.storage.memory import MemoryStorage

DOCUMENT = """
realms: [{name: acme, default: true, directories: [staff]}]
directories: [{name: staff, kind: local}]
gateways:
  - {name: late, kind: pickup, channel: sms, order: 200}
  - {name: early, kind: pickup, channel: sms, order: 10}
nas: [{name: hq, addresses: [10.0.0.0/8], secret: {value: a-shared-secret-of-hq}, application: vpn, vendor: paloalto}]
applications:
  - name: vpn
    policy: remote
    release: [{when: {group: ["staff:vpn"]}, add: {PaloAlto-User-Group: "{group}"}}]
policies:
  - {name: remote, rules: [{name: all, then: {steps: [[password], [totp]]}}]}
"""


@pytest.fixture
def ring() -> KeyRing:
    return a_ring()


def builder(ring: KeyRing) -> Builder:
    return Builder(MemoryStorage(), lambda: ring, FixedClock(START), PasswordHasher(1, 4, time_cost=1, memory_kib=8))


def sealed(ring: KeyRing, text: str = DOCUMENT) -> Document:
    return seal_document(parse(text), ring, None)


def test_every_part_is_built_and_gateways_stand_in_order(ring: KeyRing) -> None:
    runtime = builder(ring).build(3, sealed(ring))
    assert runtime.version == runtime.engine.version == 3
    assert [gateway.name for gateway in runtime.gateways] == ["early", "late"]
    assert runtime.engine.channels == {Channel.SMS}
    nas = runtime.radius.nas.find("10.1.2.3", None)
    assert nas is not None
    assert nas.name == "hq"
    assert runtime.engine.applications["vpn"].policy.name == "remote"
    assert runtime.radius.releases["hq"].rules


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ("staff:vpn", "staff:contractors", True),
        ("directories: [{name: staff", "directories: [{name: more, kind: local}, {name: staff", True),
        ("vendor: paloalto", "vendor: generic", False),
        ("remote", "other", False),
        ("order: 200", "order: 300", False),
    ],
)
def test_a_grant_is_known_to_be_of_other_rules_and_of_no_other_change(
    ring: KeyRing, before: str, after: str, is_other: bool
) -> None:
    """Else each change of the configuration would refuse whoever is being let in."""
    first, second = (builder(ring).build(1, sealed(ring, text)) for text in (DOCUMENT, DOCUMENT.replace(before, after)))
    marks = [each.engine.applications["vpn"].mark for each in (first, second)]
    assert (marks[0] != marks[1]) is is_other
    assert marks == [each.radius.releases["hq"].mark for each in (first, second)]
    assert all(marks)


def test_a_grant_of_another_application_is_known_where_a_nas_was_given_to_it(ring: KeyRing) -> None:
    text, one = DOCUMENT.replace("policies:", "  - {name: lab, policy: remote}\npolicies:"), builder(ring)
    first, second = (one.build(1, sealed(ring, each)) for each in (text, text.replace("application: vpn", "application: lab")))
    assert first.engine.applications["vpn"].mark == second.engine.applications["vpn"].mark
    assert second.radius.releases["hq"].of(first.radius.releases["hq"].mark) is None


def test_a_grant_that_is_on_its_way_while_the_rules_change_keeps_its_own(ring: KeyRing) -> None:
    one = builder(ring)
    first, second = (one.build(1, sealed(ring, each)) for each in (DOCUMENT, DOCUMENT.replace("staff:vpn", "staff:contractors")))
    before, after = (each.radius.releases["hq"] for each in (first, second))
    assert before.mark != after.mark
    kept = after.of(before.mark)
    assert kept is not None
    assert kept.rules == before.rules


def test_what_did_not_change_is_kept_with_what_it_remembers(ring: KeyRing) -> None:
    build, document = builder(ring), sealed(ring)
    first, second = build.build(1, document), build.build(2, document)
    assert first.gateways == second.gateways
    assert next(iter(first.engine.realms)).directories == next(iter(second.engine.realms)).directories


async def test_a_local_directory_knows_the_names_of_its_realms_and_no_others(ring: KeyRing) -> None:
    """They are the first guesses at a password there."""
    text = DOCUMENT.replace(
        "realms: [{name: acme, default: true, directories: [staff]}]",
        "realms:\n  - {name: rockets, default: true, directories: [staff], domains: [moonbase.test]}\n"
        "  - {name: orchard, directories: [guests]}",
    ).replace("[{name: staff, kind: local}]", "[{name: staff, kind: local}, {name: guests, kind: local}]")
    build = builder(ring)
    staff = build.build(1, sealed(ring, text)).directories[0]
    assert isinstance(staff, LocalDirectory)
    for own in ("Rockets-Rockets-1", "moonbase.test.77"):
        with pytest.raises(PasswordNotAccepted):
            await staff.check_rules(None, Secret(own))
    await staff.check_rules(None, Secret("Orchard-in-moonlight"))
    anew = build.build(2, sealed(ring, text.replace("rockets", "lunarium"))).directories[0]
    assert isinstance(anew, LocalDirectory)
    with pytest.raises(PasswordNotAccepted):
        await anew.check_rules(None, Secret("Lunarium-2026-Lunarium"))


def test_a_secret_whose_file_changed_is_read_again_when_that_is_asked_for(ring: KeyRing, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("before")
    text = DOCUMENT.replace("{value: a-shared-secret-of-hq}", f"{{file: {file}}}")
    mail = f"{{name: mail, kind: smtp, servers: ['smtps://m.test'], sender: a@m.test, username: u, password: {{file: {file}}}}}"
    document = parse(text.replace("gateways:", f"gateways:\n  - {mail}"))
    build = builder(ring)
    first = build.build(1, document)
    file.write_text("after")
    kept, read_again = build.build(2, document), build.build(2, document, fresh=True)
    assert [gateway for gateway in kept.gateways if gateway in first.gateways] == list(first.gateways)
    assert not set(read_again.gateways) & set(first.gateways)
    before, after = first.radius.nas.find("10.0.0.1", None), read_again.radius.nas.find("10.0.0.1", None)
    assert before is not None
    assert after is not None
    assert before.secret.md5_then_secret(b"") != after.secret.md5_then_secret(b"")


def test_a_version_that_cannot_be_built_replaces_no_gateway(ring: KeyRing) -> None:
    build, document = builder(ring), sealed(ring)
    first = build.build(1, document)
    changed = replace(document, gateways=tuple(replace(each, order=1) for each in document.gateways))
    missing = replace(changed, nas=(replace(document.nas[0], secret=EnvReference(env="NO_SUCH_SECRET_HERE")),))
    with pytest.raises(SettingsError):
        build.build(2, missing)
    assert build.build(3, document).gateways == first.gateways


def test_a_gateway_that_was_removed_and_comes_back_is_a_new_one(ring: KeyRing) -> None:
    build, document = builder(ring), sealed(ring)
    first = build.build(1, document)
    build.build(2, replace(document, gateways=()))
    assert not set(build.build(3, document).gateways) & set(first.gateways), "the first ones were closed with version 2"


def test_a_secret_of_another_nas_cannot_be_borrowed(ring: KeyRing) -> None:
    other = sealed(ring, DOCUMENT.replace("name: hq,", "name: branch,"))
    borrowed = parse(DOCUMENT.replace("{value: a-shared-secret-of-hq}", f"{{sealed: {other.nas[0].secret.sealed}}}"))  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match=r"nas\[0\]\.secret|nas\.hq"):
        builder(ring).build(1, borrowed)


def test_a_missing_environment_variable_keeps_the_version_out(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HQ_SECRET", raising=False)
    document = parse(DOCUMENT.replace("{value: a-shared-secret-of-hq}", "{env: HQ_SECRET}"))
    with pytest.raises(SettingsError, match="HQ_SECRET"):
        builder(ring).build(1, document)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('when: {group: ["staff:vpn"]}', "when: {network: [10.0.0.0/8]}"),
        ('add: {PaloAlto-User-Group: "{group}"}', 'add: {Framed-IP-Address: "not-an-address"}'),
        ('add: {PaloAlto-User-Group: "{group}"}', 'add: {PaloAlto-User-Group: "{nothing}"}'),
        ('add: {PaloAlto-User-Group: "{group}"}', 'add: {State: "x"}'),
        ("[10.0.0.0/8]", "[10.0.0.1, 10.0.0.1]"),
        ("[10.0.0.0/8]", '["::ffff:10.0.0.1"]'),
        ("steps: [[password], [totp]]", "steps: []"),
        ("steps: [[password], [totp]]", "steps: [[password, totp]]"),
        ("vendor: paloalto", "vendor: nobody"),
        ("{name: acme, default", "{name: Staff, default"),
    ],
)
def test_a_version_that_could_not_run_is_refused_before_it_comes_into_force(good: str, bad: str) -> None:
    assert good in DOCUMENT
    with pytest.raises(SettingsError):
        parse(DOCUMENT.replace(good, bad))


def test_servers_are_told_of_by_directories_that_know_them_and_a_suspect_one_is_not_up() -> None:
    class Acme(MemoryDirectory):
        def servers(self) -> tuple[ServerStatus, ...]:
            states = (ServerState.UP, ServerState.SUSPECT, ServerState.DOWN)
            return tuple(ServerStatus(f"dc{number}:636", state) for number, state in enumerate(states))

    told = servers_up([MemoryDirectory("staff"), Acme("acme")])
    assert told == {("acme", "dc0:636"): 1, ("acme", "dc1:636"): 0, ("acme", "dc2:636"): 0}
