"""Puts notices into words: what happened, then when, where and for what, then the link, then what we never ask for.

A text message says the same in as few words as it can, from whom it comes first. What somebody could write into his account and
read here again, such as an authenticator's name, is shown without what a phone would make a link or a number of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.clock import offset_of
from wardgate.delivery.gsm import narrowest
from wardgate.engine.runtime import EngineConfiguration
from wardgate.texts import Text, catalogue, in_message, language_of, render, render_in_message

MAX_BRAND_CHARS: Final = 20
MAX_NICKNAME_CHARS: Final = 40
_KEPT: Final = frozenset(" -_'")


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a notice is for, and which login or flow it belongs to.

    `realm`: whose brand it bears; empty: the default realm's. `device`, `place`: what was used and the country, where known.
    `client`: the address that it came from, for the record; no message tells it. `ticket`: the help desk's own number for what it
    did.
    """

    subject_id: str
    user_name: str
    application: str
    transaction_id: str
    reference: str
    language: str
    realm: str = ""
    device: str = ""
    place: str = ""
    client: str = ""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened. `subject`: the text's id, where it is not that of `happened`. `link`: the whole address, or empty.

    `link_text`: the id of what is said of the link. `call`: whether it is said, where there is no link, that the help desk is to
    be called.
    """

    happened: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    subject: str = ""
    link: str = field(default="", repr=False)
    link_text: str = ""
    call: bool = False


def moment_in(configuration: EngineConfiguration, realm: str, at: datetime) -> str:
    """A time with its zone, as people of this realm read it."""
    local = at.astimezone(configuration.zone_of(realm))
    return f"{local:%Y-%m-%d %H:%M} {offset_of(local)}"


def mail_of(configuration: EngineConfiguration, whom: Whom, notice: Notice, linked: bool, now: datetime) -> tuple[str, str]:
    """Subject and text of a mail."""
    values = _values(configuration, whom, notice)
    where = ", ".join(part for part in (whom.device, whom.place) if part)
    reference = ", ".join([render_in_message(Text("notice.frame", values), whom.language), *_ticket(whom, "frame")])
    parts = (moment_in(configuration, whom.realm, now), where, configuration.named(whom.application, whom.realm))
    frame = " · ".join([*(in_message(part, whom.language) for part in parts if part), reference])
    lines = [render_in_message(Text(f"notice.{notice.happened}_body", values), whom.language).strip(), frame]
    lines += [_link(notice, "body", whom.language, values) if linked else _call(notice, "body", whom.language, values)]
    lines += [render(Text("notice.never"), whom.language)]
    subject = render_in_message(Text(notice.subject or f"notice.{notice.happened}_subject", values), whom.language)
    return " ".join(subject.split()), "\n\n".join(line for line in lines if line) + "\n"


def sms_of(configuration: EngineConfiguration, whom: Whom, notice: Notice, linked: bool) -> str:
    """A text message."""
    values = _values(configuration, whom, notice)
    said = " ".join(
        [render_in_message(Text(f"notice.{notice.happened}_sms", values), whom.language).strip(), *_ticket(whom, "sms")]
    )
    end = _link(notice, "sms", whom.language, values) if linked else _call(notice, "sms", whom.language, values)
    text = f"{in_message(cut(configuration.brand_of(whom.realm), MAX_BRAND_CHARS), whom.language)}: {said} {end}"
    return narrowest(text, language_of(whom.language) in configuration.notices.ascii_only)


def way_named(kind: str, nickname: str, language: str) -> str:
    """A way to sign in as its person knows it: `Authenticator app, phone`."""
    word = catalogue(language_of(language)).get(f"page.factor_{kind}", kind)
    shown = harmless(nickname)
    if not shown or kind == RECOVERY_CODE or shown.lower() in (kind, "app"):
        return word
    return render(Text("notice.named", {"kind": word, "nickname": shown}), language)


def harmless(typed: str) -> str:
    """What somebody typed, without what makes a link, an address or a number to call of it."""
    kept = "".join(char if char.isalnum() or char in _KEPT else " " for char in typed)
    return cut(" ".join(kept.split()), MAX_NICKNAME_CHARS)


def cut(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[:most].rstrip()


def _values(configuration: EngineConfiguration, whom: Whom, notice: Notice) -> dict[str, str | int]:
    return {"ref": whom.reference, "brand": configuration.brand_of(whom.realm), "link": notice.link, **notice.values}


def _ticket(whom: Whom, form: str) -> list[str]:
    return (
        [render_in_message(Text(f"notice.ticket_{form}", {"ticket": harmless(whom.ticket)}), whom.language)] if whom.ticket else []
    )


def _link(notice: Notice, form: str, language: str, values: Mapping[str, str | int]) -> str:
    return render_in_message(Text(f"{notice.link_text}_{form}", values), language)


def _call(notice: Notice, form: str, language: str, values: Mapping[str, str | int]) -> str:
    if notice.call:
        return render_in_message(Text(f"notice.call_{form}", values), language)
    return render_in_message(Text("notice.ref_sms", values), language) if form == "sms" else ""
