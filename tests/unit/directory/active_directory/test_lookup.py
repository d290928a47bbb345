"""What a typed name may mean, and that an answer means it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.active_directory.lookup import look_up
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.port import Entry

WORDS = frozenset({"acme", "acme.test"})


def entry(**attributes: str) -> Entry:
    return Entry("CN=x", {name.lower(): (value.encode(),) for name, value in attributes.items()})


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("Ada", (("sAMAccountName", "ada"),)),
        (r"ACME\Ada", (("sAMAccountName", "ada"),)),
        ("Ada@Acme.Test", (("userPrincipalName", "ada@acme.test"), ("mail", "ada@acme.test"), ("sAMAccountName", "ada"))),
        ("ada@corp.test", (("userPrincipalName", "ada@corp.test"), ("mail", "ada@corp.test"))),
    ],
)
def test_what_is_looked_for(typed: str, wanted: tuple[tuple[str, str], ...]) -> None:
    found = look_up(typed, WORDS, "mail")

    assert found is not None
    assert found.wanted == wanted


@pytest.mark.parametrize(
    "typed", ["", " ", r"OTHER\ada", r"ACME\ ", r"\ada", r"ACME\a\b", "a*", "a|b", r"ACME\ada@acme.test", "a" * 300]
)
def test_what_can_be_nobodys_name(typed: str) -> None:
    assert look_up(typed, WORDS, "mail") is None


@pytest.mark.parametrize("found", ["gül", "GÜL", "g\u0075\u0308l"])
def test_the_same_name_is_meant(found: str) -> None:
    wanted = look_up("Gül", WORDS, "mail")

    assert wanted is not None
    assert wanted.is_meant(entry(sAMAccountName=found))


@pytest.mark.parametrize("found", ["gul", "gùl", "gülı", ""])
def test_a_server_that_compares_without_accents_gives_nobody_anothers_name(found: str) -> None:
    wanted = look_up("gül", WORDS, "mail")

    assert wanted is not None
    assert not wanted.is_meant(entry(sAMAccountName=found))


def test_an_implicit_upn_and_an_explicit_one_are_both_meant() -> None:
    wanted = look_up("ada@acme.test", WORDS, "mail")

    assert wanted is not None
    assert wanted.is_meant(entry(sAMAccountName="ada", userPrincipalName="ada@corp.test"))
    assert wanted.is_meant(entry(sAMAccountName="bob", userPrincipalName="ADA@acme.test"))
    assert wanted.is_meant(entry(sAMAccountName="bob", mail="ada@acme.test"))
    assert not wanted.is_meant(entry(sAMAccountName="bob", userPrincipalName="bob@acme.test"))


@given(st.text(max_size=40))
def test_no_name_breaks_out_of_the_filter(typed: str) -> None:
    for name in (typed, f"{typed}@acme.test", f"acme\\{typed}"):
        wanted = look_up(name, WORDS, "mail", "(department=x)")
        if wanted is not None:
            encode_filter(wanted.filter_text)
            assert wanted.filter_text.count("(") == 5 + len(wanted.wanted)
