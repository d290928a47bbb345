"""Relying parties and the keys that sign for them."""

from collections.abc import Mapping
from typing import Final, Literal

from wardgate.admin import party_checks, relying_parties
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation

# Our addresses, by what an application's own console asks for.
_OURS: Final[Mapping[str, str]] = {
    "metadata": "/saml/metadata",
    "entity_id": "/saml/metadata",
    "sign_in": "/saml/sso",
    "logout": "/saml/slo",
}


async def add(
    desk: Desk,
    name: str,
    preset: str = "generic",
    text: str | None = None,
    file: str | None = None,
    url: str | None = None,
    allow: list[str] | None = None,
    authority: str | None = None,
    entity_id: str | None = None,
    acs: list[str] | None = None,
    claims: dict[str, str] | None = None,
    sign: Literal["assertion", "response", "both"] | None = None,
    policy: str | None = None,
    title: str | None = None,
    reason: str = "",
) -> Result:
    """Add a relying party."""
    wanted = relying_parties.Wanted(
        name=name,
        preset=preset,
        text=text,
        file=file,
        url=url,
        allow=allow or (),
        authority=authority,
        entity_id=entity_id,
        acs=acs or (),
        claims=claims or {},
        sign=sign,
        policy=policy,
        title=title,
    )
    return {**await relying_parties.add_party(desk.office, wanted, reason), "ours": _ours(desk)}


async def renew(
    desk: Desk,
    name: str,
    text: str | None = None,
    file: str | None = None,
    url: str | None = None,
    allow: list[str] | None = None,
    authority: str | None = None,
    reason: str = "",
) -> Result:
    """Take its present metadata."""
    wanted = relying_parties.Wanted(name, text=text, file=file, url=url, allow=allow or (), authority=authority)
    return {**await relying_parties.renew_party(desk.office, wanted, reason), "ours": _ours(desk)}


def _ours(desk: Desk) -> dict[str, str]:
    """What is entered at the application."""
    origin = desk.opened.installation.settings.portal_url or desk.https_url
    return {name: origin + path for name, path in _OURS.items()}


async def list_(desk: Desk) -> Result:
    """Every relying party."""
    return await relying_parties.list_parties(desk.office)


async def show(desk: Desk, name: str) -> Result:
    """One relying party."""
    return {**await relying_parties.show_party(desk.office, name=name), "ours": _ours(desk)}


async def examine(desk: Desk, name: str, online: bool = False) -> Result:
    """What is wrong with one relying party."""
    return await party_checks.examine_party(desk.office, desk.opened.installation.settings, name=name, online=online)


async def preview(desk: Desk, name: str, user: str, directory: str | None = None) -> Result:
    """What a relying party would be told of a person."""
    issuer = _ours(desk)["metadata"]
    return await relying_parties.preview(desk.office, name=name, user=user, directory=directory, issuer=issuer)


async def remove(desk: Desk, name: str, reason: str = "") -> Result:
    """Remove a relying party."""
    return await relying_parties.remove_party(desk.office, name=name, reason=reason)


async def keys(desk: Desk) -> Result:
    """Our signing keys."""
    return await relying_parties.list_keys(desk.office)


async def roll_key(desk: Desk, kind: str = "rsa", bits: int = 2048, notice_days: int = 7, stay_days: int = 7) -> Result:
    """Publish the next signing key."""
    return await relying_parties.change_key(desk.office, kind=kind, bits=bits, notice_days=notice_days, stay_days=stay_days)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "relying-party.add": add,
    "relying-party.renew": renew,
    "relying-party.list": list_,
    "relying-party.show": show,
    "relying-party.test": examine,
    "relying-party.preview": preview,
    "relying-party.remove": remove,
    "relying-party.keys": keys,
    "relying-party.roll-key": roll_key,
}
