"""How groups are named in conditions, and what a release rule stands for."""

import unicodedata

import pytest

from wardgate.policy.groups import asked_groups, given_groups, gives_any_group, qualified_groups, written_forms

DN = "cn=vpn users,ou=groups,dc=acme,dc=test"


def test_each_name_is_qualified_by_each_place() -> None:
    found = qualified_groups(("AD", "acme"), ("VPN Users",), {"VPN Users": (DN.upper(), "S-1-5-2"), "another": ("x",)})
    assert found == {f"{place}:{name}" for place in ("ad", "acme") for name in ("vpn users", DN, "s-1-5-2")}


@pytest.mark.parametrize(
    ("group", "forms"),
    [
        ("AD:VPN Users", ("ad:vpn users",)),
        (f"ad:{DN}", (f"ad:{DN}",)),
        ("ad:CN=VPN Users, OU = Groups", ("ad:cn=vpn users, ou = groups", "ad:cn=vpn users,ou=groups")),
        (r"ad:CN=a\, b, OU=x", (r"ad:cn=a\, b, ou=x", r"ad:cn=a\, b,ou=x")),
        ("ad:a, b", ("ad:a, b",)),
        ("ad:CN=a:b, OU=c", ("ad:cn=a:b, ou=c", "ad:cn=a:b,ou=c")),
    ],
)
def test_a_dn_is_met_with_and_without_the_blanks_that_people_write(group: str, forms: tuple[str, ...]) -> None:
    assert written_forms(group) == forms


def test_the_groups_of_a_condition_are_found_wherever_they_stand() -> None:
    when = {"any": [{"group": ["ad:A"]}, {"all": [{"group": "ad:B"}, {"not": {"group": ["ad:C"]}}]}], "user": ["ada"]}
    assert set(asked_groups(when)) == {"ad:a", "ad:b", "ad:c"}
    assert set(given_groups(when)) == {"ad:a", "ad:b"}


@pytest.mark.parametrize(
    ("when", "add", "any_group"),
    [
        ({}, {"Class": "{group}"}, True),
        ({}, {"Class": ["x", "{user}/{group}"]}, True),
        ({"not": {"group": ["ad:a"]}}, {"Class": "{group}"}, True),
        ({"group": ["ad:a"]}, {"Class": "{group}"}, False),
        ({}, {"Class": "all", "Session-Timeout": 5}, False),
    ],
)
def test_a_rule_that_gives_any_group_is_known(when: dict[str, object], add: dict[str, object], any_group: bool) -> None:
    assert gives_any_group(when, add) is any_group


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_group_with_an_accent_is_met_however_directory_and_document_spell_it(form: str, written: str) -> None:
    group, asked = unicodedata.normalize(form, "Çözüm Ortakları"), unicodedata.normalize(written, "local:çözüm ortaklarI")
    dn = unicodedata.normalize(form, "CN=Çözüm,DC=acme")
    names = qualified_groups(("local",), (group,), {group: (dn,)})
    assert set(written_forms(unicodedata.normalize(written, "local:Çözüm Ortakları"))) <= names
    assert not set(written_forms(asked)) & names
    assert set(written_forms(unicodedata.normalize(written, "local:cn=çözüm, dc=acme"))) & names
