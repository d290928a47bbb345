"""Word to a person of a sign-in on our pages in a browser that did not sign in as him before.

Which browser did, its own cookie says: nothing is read of a browser that brings it. Whoever steals the cookie gains that nobody is
told of him, and nothing else. The first sign-in of a person's life here is told to nobody: there is none to compare it with.
"""

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
from wardgate.storage.port import Find, Operation, Row, Update, Where

DAY_MS: Final = 86_400_000
# In `new_browser_at`: he signed in here before, and was told of no browser yet.
NEVER_TOLD: Final = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a sign-in came from: what the browser calls itself, and its address, of which only the country is told."""

    device: str
    address: str


async def tell_of_browser(parts: EngineParts, granted: Granted, seen: Seen, language: str) -> None:
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
    mails = [granted.mail] if granted.mail else []
    mails += [each.value for each in usable_contacts(parts.ring(), contacts) if each.kind is ContactKind.MAIL]
    place = configuration.risk.country_of(seen.address) if configuration.risk is not None else ""
    said = (granted.reference, language, granted.realm, seen.device, place)
    whom = Whom(granted.subject_id, granted.user_name, granted.application, "", *said)
    # Of two sign-ins at once one tells: the condition of the first operation decides.
    unit: list[Operation] = [_noted(subject_id, told_at, now_ms)]
    link = ""
    if parts.public_url:
        link, insert = dispute_link(parts, whom)
        unit.append(insert)
    notice = Notice("new_sign_in", link=link, link_text="notice.link_not_me", call=True)
    addressees = each_once((Channel.EMAIL, to) for to in mails)
    await parts.storage.commit([*unit, *tell(parts, whom, addressees, notice)])


def _noted(subject_id: SubjectId, before: int | None, now_ms: int) -> Update:
    key: Row = {"id": subject_id}
    same = Where("new_browser_at", "is_null") if before is None else Where("new_browser_at", "=", before)
    return Update("subject", key, {"new_browser_at": now_ms}, where=(same,))
