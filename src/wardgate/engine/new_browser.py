"""Word to a person of a sign-in on our pages in a browser that did not sign in as him before, or from a country that is new.

Which browser did, its own cookie says: nothing is read of a browser that brings it. Whoever steals the cookie gains that nobody is
told of him, and nothing else, unless he comes from elsewhere: where the operator gave a file of countries, those from which
somebody signed in are remembered as fingerprints, beside his habits. The first sign-in of a person's life here, and the first of
which the country is known, are told to nobody: there is none to compare them with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.account.contact import kept_contacts, usable_contacts
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.directory.port import ContactKind
from wardgate.engine.notices import dispute_link, each_once, tell
from wardgate.engine.outcome import Granted
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Notice, Whom
from wardgate.risk.habits import TABLE as HABITS
from wardgate.risk.habits import fingerprint, learn
from wardgate.storage.port import Committed, Find, Insert, Operation, Row, Update, Where

DAY_MS: Final = 86_400_000
# A kind of habit of our own pages: those of `risk` are written by the grant itself, before anybody could be told.
SIGN_IN: Final = "sign_in"
# More than there are.
MAX_COUNTRIES: Final = 300
# In `new_browser_at`: he signed in here before, and was told of no browser yet.
NEVER_TOLD: Final = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a sign-in came from: what the browser calls itself, and its address, of which a file may tell the place."""

    device: str
    address: str


async def tell_of_sign_in(parts: EngineParts, granted: Granted, seen: Seen, language: str, is_known: bool) -> None:
    """The mails about a sign-in, if any. `is_known`: the browser has signed in as this person before.

    Where no country can be told nothing is read or written for it.
    """
    configuration = parts.configuration()
    country = configuration.risk.country_of(seen.address) if configuration.risk is not None else ""
    if country and await _is_far(parts, granted, seen, language, country):
        return
    if not is_known:
        await _tell_of_browser(parts, granted, seen, language)


async def _is_far(parts: EngineParts, granted: Granted, seen: Seen, language: str, country: str) -> bool:
    """Whether he was told now that this country is new; it is remembered from now on."""
    subject_id, now_ms = SubjectId(granted.subject_id), to_ms(parts.clock.now())
    key = fingerprint(parts.ring(), subject_id, SIGN_IN, country)
    find = Find(HABITS, (Where("subject_id", "=", subject_id), Where("kind", "=", SIGN_IN)), limit=MAX_COUNTRIES)
    rows, contacts = await parts.storage.read([find, kept_contacts(subject_id)])
    here = next((row for row in rows if row["value_key"] == key), None)
    if here is not None:
        if not now_ms - DAY_MS < int(here["last_at"] or 0) <= now_ms:
            await parts.storage.commit([learn(subject_id, SIGN_IN, key, now_ms)])
        return False
    # Of two sign-ins at once one tells: the other finds it remembered.
    values: Row = {"subject_id": subject_id, "kind": SIGN_IN, "value_key": key, "times": 1, "first_at": now_ms, "last_at": now_ms}
    told = bool(rows) and parts.configuration().notices.new_browser
    mails = _mails(parts, granted, seen, language, "far_sign_in", contacts) if told else []
    return isinstance(await parts.storage.commit([Insert(HABITS, values), *mails]), Committed) and bool(mails)


async def _tell_of_browser(parts: EngineParts, granted: Granted, seen: Seen, language: str) -> None:
    """The mails about a browser that was not used before, at most once a day."""
    configuration, subject_id = parts.configuration(), SubjectId(granted.subject_id)
    find = Find("subject", (Where("id", "=", subject_id),), limit=1)
    subjects, contacts = await parts.storage.read([find, kept_contacts(subject_id)])
    if not subjects:
        return
    now_ms, told_at = to_ms(parts.clock.now()), subjects[0]["new_browser_at"]
    if not isinstance(told_at, int):
        await parts.storage.commit([_noted(subject_id, None, NEVER_TOLD)])
        return
    if now_ms - DAY_MS < told_at <= now_ms or not configuration.notices.new_browser:
        return
    # Of two sign-ins at once one tells: the condition of the first operation decides.
    mails = _mails(parts, granted, seen, language, "new_sign_in", contacts)
    await parts.storage.commit([_noted(subject_id, told_at, now_ms), *mails])


def _mails(
    parts: EngineParts, granted: Granted, seen: Seen, language: str, happened: str, contacts: Sequence[Row]
) -> list[Operation]:
    configuration = parts.configuration()
    mails = [granted.mail] if granted.mail else []
    mails += [each.value for each in usable_contacts(parts.ring(), contacts) if each.kind is ContactKind.MAIL]
    place = configuration.risk.place_of(seen.address, language) if configuration.risk is not None else None
    said = (granted.reference, language, granted.realm, seen.device, place or "")
    whom = Whom(granted.subject_id, granted.user_name, granted.application, "", *said)
    unit: list[Operation] = []
    link = ""
    if parts.public_url:
        link, insert = dispute_link(parts, whom)
        unit.append(insert)
    notice = Notice(happened, link=link, link_text="notice.link_not_me", call=True)
    return [*unit, *tell(parts, whom, each_once((Channel.EMAIL, to) for to in mails), notice)]


def _noted(subject_id: SubjectId, before: int | None, now_ms: int) -> Update:
    key: Row = {"id": subject_id}
    same = Where("new_browser_at", "is_null") if before is None else Where("new_browser_at", "=", before)
    return Update("subject", key, {"new_browser_at": now_ms}, where=(same,))
