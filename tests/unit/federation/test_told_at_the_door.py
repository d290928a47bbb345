"""What a grant carries for a web application: as much as its claims need, and nothing that lets a group pass for another."""

from dataclasses import replace
from typing import Any

from tests.unit.federation.parties import settings
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.runtime import Application
from wardgate.factors import STRONG_KINDS, USUAL_KINDS
from wardgate.federation.building import build_party, metadata_by_hand
from wardgate.federation.claims import Person, released
from wardgate.policy.rules import default_policy

ADMINS = "cn=wiki-admins,ou=groups,dc=acme,dc=test"
ADA = DirectoryUser("acme-ad", "1", "ada", AccountState.ACTIVE, groups=("Wiki Admins",), group_aliases={"Wiki Admins": (ADMINS,)})


def roles(user: DirectoryUser, **claim: Any) -> tuple[str, ...]:
    """What the application hears of the user's groups, by way of the grant."""
    found = settings(claims={"role": {"source": "groups", **claim}})
    application = Application(found, default_policy(USUAL_KINDS, STRONG_KINDS))
    groups, aliases = application.released_groups(user, "acme")
    person = Person(subject="", user_name="", realm="acme", directory="acme-ad", groups=groups, group_aliases=aliases)
    told = released(build_party(found, metadata_by_hand(found)).claims, person).claims
    return told[0].values if told else ()


def test_a_group_is_mapped_by_its_dn() -> None:
    assert roles(ADA, map={f"acme-ad:{ADMINS}": "admin"}) == ("admin",)


def test_whoever_may_make_a_group_does_not_become_another_by_calling_it_so() -> None:
    eve = replace(ADA, groups=(ADMINS,), group_aliases={ADMINS: ("cn=fools,dc=acme,dc=test",)})
    assert roles(eve, map={f"acme-ad:{ADMINS}": "admin"}) == ()
    assert roles(eve, only=[f"acme-ad:{ADMINS}"]) == ()


def test_a_phone_number_travels_to_those_alone_who_are_told_it() -> None:
    assert settings(claims={"tel": "phone"}).tells_phone
    assert settings(claims={"tel": {"template": "tel:{phone}"}}).tells_phone
    assert settings(name_id={"format": "unspecified", "source": "phone"}).tells_phone
    assert not settings(claims={"mail": "mail"}).tells_phone


def test_a_grant_is_known_by_the_claims_that_it_was_made_for() -> None:
    said: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"map": {"acme-ad:*": "all"}}, {}),
        ({}, {"assertion_life_s": 60}),
    ]
    plain, mapped, longer = (settings(claims={"role": {"source": "groups", **more}}, **also) for more, also in said)
    assert build_party(plain, metadata_by_hand(plain)).claims_mark == plain.claims_mark
    assert plain.claims_mark != mapped.claims_mark
    assert plain.claims_mark == longer.claims_mark
