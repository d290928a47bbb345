"""What is asked of a domain, how often, and what becomes of answers that no test server gives."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.active_directory import parts
from tests.unit.directory.active_directory.test_settings import GOOD
from wardgate.clock import FixedClock
from wardgate.directory.active_directory import groups as groups_module
from wardgate.directory.active_directory.directory import ActiveDirectory
from wardgate.directory.active_directory.domain import RULES_LIFE_S, Domain
from wardgate.directory.active_directory.groups import LIFE_S, Groups
from wardgate.directory.active_directory.reading import Reader
from wardgate.directory.ldap.port import Entry, LdapRefused, Result, Scope
from wardgate.errors import DirectoryUnavailable

BASE = "DC=acme,DC=test"
CONFIGURATION = f"CN=Configuration,{BASE}"
CROSS_REFERENCE = Entry("CN=ACME", {"netbiosname": (b"ACME",), "dnsroot": (b"acme.test",)})
RULES = {
    "minpwdlength": (b"8",),
    "pwdproperties": (b"1",),
    "maxpwdage": (b"-9223372036854775808",),
    "lockoutthreshold": (b"5",),
    "lockoutobservationwindow": (b"-18000000000",),
}


def sid(number: int) -> bytes:
    return bytes.fromhex("010500000000000515000000" + "01000000" * 3) + number.to_bytes(4, "little")


class Asked:
    """An LDAP client that answers from a table by base, and notes what it was asked."""

    def __init__(self) -> None:
        self.found: dict[str, Sequence[Entry] | LdapRefused] = {f"CN=Partitions,{CONFIGURATION}": [CROSS_REFERENCE]}
        self.searches: list[tuple[str, str]] = []
        self.root = Entry("", {"defaultnamingcontext": (BASE.encode(),), "configurationnamingcontext": (CONFIGURATION.encode(),)})

    def stuck(self, key: str) -> None:
        return None

    async def root_dse(self, **_: Any) -> Entry:
        return self.root

    async def search(self, base: str, scope: Scope, filter_text: str, attributes: Sequence[str], **_: Any) -> Sequence[Entry]:
        self.searches.append((base, filter_text))
        found = self.found.get(base, ())
        if isinstance(found, LdapRefused):
            raise found
        return found


def made(asked: Asked) -> tuple[Reader, Domain, FixedClock]:
    clock = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    reader = Reader("ad", asked, clock)  # type: ignore[arg-type]
    return reader, Domain(reader), clock


async def found_as(dn: str) -> object:
    """What becomes of an account that the server tells under this DN."""
    guid = "12345678-1234-1234-1234-123456789012"
    asked = Asked()
    asked.found[f"<GUID={guid}>"] = [Entry(dn, {})]
    return await ActiveDirectory(replace(GOOD, base=BASE), asked, parts()).get(guid, 5)  # type: ignore[arg-type]


async def test_an_account_whose_dn_cannot_be_read_is_a_directory_that_fails() -> None:
    with pytest.raises(DirectoryUnavailable, match="DN cannot be read"):
        await found_as(f"no dn at all,{BASE}")


@pytest.mark.parametrize("dn", ["CN=ada,DC=other,DC=test", f"CN=ada,DC=x{BASE}"])
async def test_an_account_that_was_moved_out_of_the_base_is_nobody_here(dn: str) -> None:
    assert await found_as(dn) is None


async def test_the_names_and_rules_are_read_once_for_a_while() -> None:
    asked = Asked()
    asked.found[BASE] = [Entry(BASE, RULES)]
    reader, domain, clock = made(asked)
    for _ in range(3):
        rules = await domain.rules(None, reader.budget(5))
    assert len(asked.searches) == 2
    assert (rules.threshold, rules.window_s, rules.passwords.min_length, rules.passwords.max_age_s) == (5, 1800, 8, 0)

    asked.found[BASE] = [Entry(BASE, {**RULES, "minpwdlength": (b"12",)})]
    clock.advance(RULES_LIFE_S)
    assert (await domain.rules(None, reader.budget(5))).passwords.min_length == 12


async def test_rules_that_cannot_be_read_are_told_as_not_read() -> None:
    asked = Asked()
    asked.found[BASE] = [Entry(BASE, {})]
    reader, domain, _ = made(asked)
    rules = await domain.rules(None, reader.budget(5))

    assert (rules.passwords.read, rules.threshold) == (False, 0)


async def test_a_hidden_fine_grained_policy_leaves_the_domains_lockout() -> None:
    asked = Asked()
    asked.found[BASE] = [Entry(BASE, RULES)]
    reader, domain, _ = made(asked)
    rules = await domain.rules("CN=hidden", reader.budget(5))

    assert (rules.threshold, rules.passwords.min_length, rules.passwords.read) == (5, 8, False)
    assert (await domain.rules(None, reader.budget(5))).passwords.read


async def test_a_server_of_another_kind_is_told_as_such() -> None:
    asked = Asked()
    asked.root = Entry("", {"namingcontexts": (b"dc=acme",)})
    reader, domain, _ = made(asked)

    with pytest.raises(DirectoryUnavailable, match="no Active Directory"):
        await domain.names(reader.budget(5))
    assert domain.known_names() is None


@pytest.mark.parametrize(("code", "told"), [(10, "another domain"), (50, "may not read"), (1, "bind.dn"), (80, "80")])
async def test_a_refused_search_says_what_to_do(code: int, told: str) -> None:
    asked = Asked()
    asked.found[BASE] = LdapRefused("no", Result(code, "words of the server"))
    reader, _, _ = made(asked)

    with pytest.raises(DirectoryUnavailable, match=told) as raised:
        await reader.entries(BASE, Scope.SUBTREE, "(a=b)", (), reader.budget(5))
    assert "words" not in raised.value.message


async def test_time_that_is_used_up_is_not_asked_for_once_more() -> None:
    asked = Asked()
    reader, _, clock = made(asked)
    budget = reader.budget(5)
    clock.advance(5)

    with pytest.raises(DirectoryUnavailable, match="within 5 s"):
        await reader.entries(BASE, Scope.SUBTREE, "(a=b)", (), budget)
    assert asked.searches == []


async def test_groups_are_read_in_batches_once_and_anew_after_a_while() -> None:
    asked = Asked()
    asked.found[BASE] = [
        Entry(f"CN=g{number}", {"objectsid": (sid(number),), "samaccountname": (f"g{number}".encode(),)}) for number in (1, 2)
    ]
    reader, domain, clock = made(asked)
    groups = Groups(reader, domain)
    many = [sid(number) for number in range(120)]
    told = {group.name: group.aliases for group in await groups.of(many, reader.budget(5))}
    searches = [base for base, _ in asked.searches if base == BASE]

    assert len(searches) == 3
    assert told["g1"] == ("CN=g1", "S-1-5-21-1-1-1-1")
    assert told["S-1-5-21-1-1-1-7"] == ()
    assert len(told) == 120
    await groups.of(many, reader.budget(5))
    assert len([base for base, _ in asked.searches if base == BASE]) == 3
    clock.advance(LIFE_S)
    asked.found[BASE] = [Entry("CN=new", {"objectsid": (sid(1),), "samaccountname": (b"new",)})]
    assert [group.name for group in await groups.of([sid(1)], reader.budget(5))] == ["new"]


async def test_a_sid_that_is_none_and_an_answer_that_was_not_asked_for_name_no_group() -> None:
    asked = Asked()
    asked.found[BASE] = [Entry("CN=Domain Admins", {"objectsid": (sid(512),), "samaccountname": (b"Domain Admins",)})]
    reader, domain, _ = made(asked)

    told = await Groups(reader, domain).of([b"x", sid(7)], reader.budget(5))
    assert [group.name for group in told] == ["S-1-5-21-1-1-1-7"]


async def test_the_groups_that_are_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "MAX_KNOWN", 10)
    asked = Asked()
    reader, domain, _ = made(asked)
    groups = Groups(reader, domain)
    await groups.of([sid(number) for number in range(100)], reader.budget(5))

    assert len(groups._known) == 10
