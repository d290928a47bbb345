"""The demo's people, its NAS, and what a visitor is told: everything to try a login within a minute of the first start.

The demo listens on this machine only and sends nothing; its passwords and secrets are public by design, made at random when the
demo is created, and kept in its own database (sealed, as every secret is).
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wardgate.account.authenticator import active_authenticators
from wardgate.account.recovery_code import code_mac, normalise
from wardgate.account.subject import linked_subject
from wardgate.admin import authenticators, users
from wardgate.admin.office import Office
from wardgate.config.document import Document
from wardgate.config.reference import ClearValue
from wardgate.config.store import edit
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, plain_secret
from wardgate.delivery.port import Channel
from wardgate.directory.local import row_by_name
from wardgate.engine.settings import ApplicationSettings, CodeSettings, ReleaseRuleSettings
from wardgate.factors import BY_KIND
from wardgate.radius.settings import NasSettings
from wardgate.storage.port import Upsert
from wardgate.web.context import DemoFactor, DemoGuide, DemoUser

DIRECTORY = "local"
APPLICATION = "vpn"
NAS = "demo"
_ROW = "demo"
_WHY = "the NAS and the application of the demo"
_PLACE = "installation:demo"
RADIUS_SECRET_CHARS = 24
PASSWORD_CHARS = 10


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom to create. `factors`: kinds, in the order in which the visitor is told of them."""

    name: str
    factors: tuple[str, ...] = ()
    phone: str | None = None
    mail: str | None = None
    groups: tuple[str, ...] = ("vpn-users",)
    disabled: bool = False


PEOPLE = (
    _Person("ada", ("totp",)),
    _Person("bob", ("sms",), phone="+905321110002"),
    _Person("carol", ("email",), mail="carol@example.test"),
    _Person("dave", ("totp", "sms", "email", "recovery_code"), phone="+905321110004", mail="dave@example.test"),
    _Person("erin", ("hotp",)),
    _Person("frank"),
    _Person("disabled", ("totp",), disabled=True),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """What was made: the NAS's secret, and per person the password and the secrets of the factors."""

    radius_secret: str
    people: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


async def prepare(office: Office) -> Demo:
    """The demo of this installation; made at the first start, the same at every further one."""
    row = await office.storage.get("installation", {"name": _ROW})
    if row is not None:
        sealed = base64.b64decode(str(row["value"]))
        return Demo(**json.loads(_ring(office).open(sealed, _PLACE)))
    demo = Demo(plain_secret(RADIUS_SECRET_CHARS), {person.name: await _create(office, person) for person in PEOPLE})
    await edit(office.storage, office.ring, lambda document: _with_nas(document, demo.radius_secret), "demo", _WHY, office.clock)
    await _keep(office, demo)
    return demo


async def _keep(office: Office, demo: Demo) -> None:
    body = json.dumps({"radius_secret": demo.radius_secret, "people": demo.people}).encode()
    value = base64.b64encode(_ring(office).seal(body, _PLACE)).decode()
    await office.storage.commit([Upsert("installation", {"name": _ROW, "value": value})])


def _ring(office: Office) -> KeyRing:
    """A key of the demo's own, derived from the root: a rotation of the data keys need not know of it."""
    key = Secret(office.ring.mac("demo"))
    return KeyRing({MAC_ROOT: key, 1: key})


async def _create(office: Office, person: _Person) -> dict[str, Any]:
    """Create one person, or complete one whose creation was cut short."""
    password = f"{person.name}-{plain_secret(PASSWORD_CHARS)}"
    if await row_by_name(office.storage, DIRECTORY, person.name) is not None:
        await users.remove_user(office, directory=DIRECTORY, name=person.name)
    await users.add_user(
        office,
        directory=DIRECTORY,
        name=person.name,
        password=Secret(password),
        mail=person.mail,
        phone=person.phone,
        groups=person.groups,
        display_name=person.name.capitalize(),
    )
    made: dict[str, Any] = {"password": password}
    for kind in person.factors:
        made |= await _enrol(office, person.name, kind)
    if person.disabled:
        await users.disable_user(office, directory=DIRECTORY, name=person.name)
    return made


async def _enrol(office: Office, name: str, kind: str) -> dict[str, Any]:
    secret_hex = secrets.token_hex(20)
    if kind == "totp":
        await authenticators.add_totp(office, directory=DIRECTORY, name=name, secret_hex=secret_hex, label="demo app")
        return {"totp": secret_hex}
    if kind == "hotp":
        await authenticators.add_hotp(office, directory=DIRECTORY, name=name, secret_hex=secret_hex, label="demo device")
        return {"hotp": secret_hex}
    if kind == "recovery_code":
        sheet = await authenticators.add_recovery_codes(office, directory=DIRECTORY, name=name, label="demo sheet")
        return {"recovery_code": sheet["codes"]}
    return {}


def _with_nas(document: Document, secret: str) -> Document:
    """The demo's application and its NAS: every address of this machine, so that radclient and pam_radius simply work."""
    nas = NasSettings(
        name=NAS,
        addresses=("127.0.0.0/8", "::1/128"),
        secret=ClearValue(value=secret),
        application=APPLICATION,
        message_authenticator="accept_missing",
    )
    application = ApplicationSettings(
        name=APPLICATION,
        title="Demo VPN",
        page_link="shown",
        release=(ReleaseRuleSettings(when={"group": [f"{DIRECTORY}:vpn-users"]}, add={"PaloAlto-User-Group": "{group}"}),),
    )
    # Nothing leaves this machine, so nobody's phone needs the limit on messages.
    codes: CodeSettings = replace(document.codes, messages_per_hour=1_000, messages_per_day=1_000)
    return replace(
        document,
        applications=(*(each for each in document.applications if each.name != APPLICATION), application),
        nas=(*(each for each in document.nas if each.name != NAS), nas),
        codes=codes,
    )


async def describe(office: Office, demo: Demo) -> list[dict[str, Any]]:
    """The users as the first line of `wardgate demo --json` tells them: counters and unused codes as they are now."""
    return [
        {
            "name": person.name,
            "password": demo.people[person.name]["password"],
            "factors": [await _factor(office, person, kind, demo.people[person.name]) for kind in person.factors],
        }
        for person in PEOPLE
        if person.name in demo.people
    ]


async def _factor(office: Office, person: _Person, kind: str, made: Mapping[str, Any]) -> dict[str, Any]:
    channel = BY_KIND[kind].channel
    if channel is not None:
        return {"kind": kind, "address": person.phone if channel is Channel.SMS else person.mail}
    row = await row_by_name(office.storage, DIRECTORY, person.name)
    subject_id = await linked_subject(office.storage, DIRECTORY, str(row["id"])) if row else None
    held = [each for each in await active_authenticators(office.storage, subject_id) if each.kind == kind] if subject_id else []
    if kind == "recovery_code":
        return {"kind": kind, "codes": [code for code in made.get(kind, []) if held and await _unused(office, held[-1].id, code)]}
    told: dict[str, Any] = {"kind": kind, "secret_hex": made[kind], "digits": 6}
    return {**told, "period_s": 30} if kind == "totp" else {**told, "counter": held[-1].counter if held else 0}


async def _unused(office: Office, authenticator_id: str, code: str) -> bool:
    mac = code_mac(office.ring, authenticator_id, normalise(code) or "")
    row = await office.storage.get("recovery_code", {"authenticator_id": authenticator_id, "code_mac": mac})
    return row is not None and row["used_at"] is None


def guide(demo: Demo, described: Sequence[Mapping[str, Any]], host: str, port: int) -> DemoGuide:
    """What the demo's start page shows."""
    disabled = {person.name for person in PEOPLE if person.disabled}
    return DemoGuide(
        radius_host=host,
        radius_port=port,
        radius_secret=demo.radius_secret,
        users=tuple(
            DemoUser(
                name=user["name"],
                password=user["password"],
                disabled=user["name"] in disabled,
                factors=tuple(
                    DemoFactor(
                        kind=each["kind"],
                        secret=bytes.fromhex(each.get("secret_hex", "")),
                        digits=each.get("digits", 6),
                        period_s=each.get("period_s", 30),
                        address=each.get("address") or "",
                        codes=tuple(each.get("codes", ())),
                    )
                    for each in user["factors"]
                ),
            )
            for user in described
        ),
    )
