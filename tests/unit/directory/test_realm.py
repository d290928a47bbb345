"""Which realm a typed name belongs to."""

import pytest

from wardgate.directory.realm import Realm, Realms, names_meant, parse_login_name
from wardgate.directory.settings import RealmSettings
from wardgate.errors import SettingsError


def realms() -> Realms:
    return Realms(
        [
            Realm(RealmSettings(name="acme", directories=("ad",), default=True, domains=("ACME", "acme.test")), ()),
            Realm(RealmSettings(name="Partners", directories=("staff",), domains=("EXTERN", "extern.example", "İZMİR")), ()),
        ]
    )


@pytest.mark.parametrize(
    ("typed", "realm", "name"),
    [
        ("ada", "acme", "ada"),
        ("ACME\\ada", "acme", "ada"),
        ("acme\\Ada", "acme", "Ada"),
        ("ada@acme.test", "acme", "ada"),
        ("ada@ACME", "acme", "ada"),
        ("partners\\ada", "Partners", "ada"),
        ("ada@Extern.Example", "Partners", "ada"),
        ("extern.example\\ada", "Partners", "ada"),
        ("İZMİR\\ada", "Partners", "ada"),
        ("EXTERN\\ada@home.example", "Partners", "ada@home.example"),
        ("ada@home.example@extern.example", "Partners", "ada@home.example"),
    ],
)
def test_a_known_domain_selects_its_realm_and_is_stripped(typed: str, realm: str, name: str) -> None:
    found, rest = parse_login_name(typed, realms())

    assert (found.name, rest) == (realm, name)


@pytest.mark.parametrize(
    "typed", ["EVIL\\ada", "ada@home.example", "izmir\\ada", "\\ada", "ada@", "@acme", "acme\\", "", "@", "\\"]
)
def test_an_unknown_domain_never_becomes_the_default_realms_user(typed: str) -> None:
    found, rest = parse_login_name(typed, realms())

    # The whole string: as a mail address it may be somebody's, `EVIL\ada` is nobody's, and neither is the name `ada`.
    assert (found.name, rest) == ("acme", typed)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("Ada", ("ada",)),
        ("ACME\\Ada", ("ada",)),
        ("Ada@x.test", ("ada@x.test",)),
        ("Ada@Acme.test", ("ada", "ada@acme.test")),
        ("Acme.test\\Ada", ("ada", "ada@acme.test")),
        ("Other.test\\Ada", ("other.test\\ada",)),
        ("extern.example\\ada@extern.example", ("ada@extern.example",)),
        ("", ("",)),
        ("a\0da@acme.test", ("",)),
    ],
)
def test_what_stands_before_the_at_of_a_realms_domain_may_be_half_a_mail_address(typed: str, names: tuple[str, ...]) -> None:
    assert names_meant(typed, parse_login_name(typed, realms())[1]) == names


@pytest.mark.parametrize("defaults", [(False, False), (True, True)])
def test_exactly_one_realm_is_the_default(defaults: tuple[bool, bool]) -> None:
    with pytest.raises(SettingsError, match="default"):
        Realms([Realm(RealmSettings(name=f"r{n}", directories=(), default=flag), ()) for n, flag in enumerate(defaults)])


@pytest.mark.parametrize("word", ["ACME", "acme.TEST"])
def test_a_domain_of_two_realms_is_a_wrong_setting(word: str) -> None:
    with pytest.raises(SettingsError, match=r"acme.*other|other.*acme"):
        Realms(
            [
                Realm(RealmSettings(name="acme", directories=(), default=True, domains=("acme.test",)), ()),
                Realm(RealmSettings(name="other", directories=(), domains=(word,)), ()),
            ]
        )


def test_a_realm_may_name_itself_among_its_domains() -> None:
    realm = Realm(RealmSettings(name="acme", directories=(), default=True, domains=("ACME",)), ())

    assert Realms([realm]).named_by("Acme") is realm


def test_a_domain_that_cannot_be_typed_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="printable"):
        Realms([Realm(RealmSettings(name="acme", directories=(), default=True, domains=("a\nb",)), ())])
