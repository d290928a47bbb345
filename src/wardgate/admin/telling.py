"""Word to a person of what the help desk does in his account, in the unit of the act: everywhere he can be reached, once.

An operator who was talked into something, or bought, must not be the only one who knows of it. Of an administrator's account
those who look after security hear as well. Where a directory does not answer, what Wardgate itself keeps of the person is told:
a lost device must not wait for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from wardgate.account.contact import compared, kept_contacts, usable_contacts
from wardgate.account.subject import NO_SUBJECT, SubjectId, linked_subject
from wardgate.admin.office import Office
from wardgate.admin.people import opened, settings_of
from wardgate.brand.settings import merged
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.delivery.registry import kind_of
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.engine.notices import Addressee, dispute_link, each_once, everywhere, tell, to_security
from wardgate.engine.runtime import PRODUCT, Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import AnyApplicationSettings, with_portal
from wardgate.engine.terms import ADMINISTRATORS_STRONG_FACTORS
from wardgate.engine.wording import Notice, Whom, way_named
from wardgate.errors import NotFound, SettingsError, UnavailableError
from wardgate.factors import KINDS, STRONG_KINDS, USUAL_KINDS
from wardgate.policy.facts import Facts
from wardgate.policy.groups import qualified_groups
from wardgate.policy.rules import Floor, compile_policy, default_policy
from wardgate.policy.settings import FloorThenSettings
from wardgate.policy.view import View
from wardgate.storage.port import Operation
from wardgate.texts import Text, render_in_message

# An operator waits so long for a directory that tells where its person can be reached, and not longer.
TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Act:
    """What was done: `notice.act_{name}`. `kind`, `label`: of an authenticator; `what`: a contact, masked."""

    name: str
    kind: str = ""
    label: str = ""
    what: str = ""

    @property
    def of_contacts(self) -> bool:
        """Whether it changed where the person is reached: then every number hears of it."""
        return self.name.startswith("contact_")

    def said(self, language: str) -> str:
        """In words."""
        return render_in_message(
            Text(f"notice.act_{self.name}", {"what": self.what or way_named(self.kind, self.label, language)}), language
        )


_ROLE_CHANGED: Final = Act("role_changed")


@dataclass(frozen=True, slots=True)
class Whose:
    """In whose account. `user`: as his directory tells him, None where it does not answer. `also`: he had, or has, these as well.

    `but`: whoever reads there hears of it by another message. `becomes`: what the act makes of him, where it may make him another.
    """

    directory: str
    immutable_id: str
    name: str
    user: DirectoryUser | None = None
    subject_id: SubjectId | None = None
    also: tuple[Addressee, ...] = ()
    but: str = field(default="", repr=False)
    becomes: DirectoryUser | None = None


async def word_of(office: Office, whose: Whose, *acts: Act) -> list[Operation]:
    """The messages about what was done, for its unit: none where nobody is to hear of it."""
    teller = await teller_of(office)
    return await teller.word(whose, acts) if teller is not None else []


async def teller_of(office: Office) -> "Teller | None":
    """Who tells many people one after another; None where nobody is to hear of anything."""
    if not office.tells:
        return None
    _, document = await load_current(office.storage)
    return Teller(office, document, parts_of(office, document), tuple(_strict_floors(document)))


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells people, by the document in force. `strict`: what it holds administrators to, by application."""

    office: Office
    document: Document
    parts: EngineParts
    strict: Sequence[tuple[AnyApplicationSettings, Sequence[Floor]]]

    def is_of_administrator(self, whose: Whose) -> bool:
        """Whether the account is an administrator's, before the act or after it."""
        found = [user for user in (whose.user, whose.becomes) if user is not None]
        return any(self._is_administrator(user) for user in found)

    def _changes_role(self, whose: Whose) -> bool:
        """Else an account could be made nobody's in particular, be taken over unseen, and be an administrator's again."""
        if whose.user is None or whose.becomes is None or whose.user.groups == whose.becomes.groups:
            return False
        return self._is_administrator(whose.user) != self._is_administrator(whose.becomes)

    def _is_administrator(self, user: DirectoryUser) -> bool:
        """Whether his directory says so, or a floor of any policy demands of him what it does of administrators."""
        if user.protected:
            return True
        realm = whom_of(self.office, self.document, user.name, user, user.directory, None).realm
        for application, floors in self.strict:
            view = View(_facts(self.office, application, realm, user))
            if any(floor.when.holds(view) for floor in floors):
                return True
        return False

    async def word(self, whose: Whose, acts: Sequence[Act]) -> list[Operation]:
        """The messages about what was done to one person, in one notice. None where that is nothing that people hear of."""
        office, document, parts = self.office, self.document, self.parts
        if self._changes_role(whose):
            acts = [*acts, _ROLE_CHANGED]
        if not acts:
            return []
        subject_id = whose.subject_id or await linked_subject(office.storage, whose.directory, whose.immutable_id)
        user = whose.user or await looked_up(office, document, whose)
        [rows] = await office.storage.read([kept_contacts(subject_id or NO_SUBJECT)])
        whom = whom_of(office, document, whose.name, user, whose.directory, subject_id)
        found = [*everywhere(user, usable_contacts(office.ring, rows)), *whose.also]
        places = each_once((each.channel, each.to) for each in found if compared(each.to) != compared(whose.but))
        happened = "desk_contacts" if any(each.of_contacts for each in acts) else "desk"
        notice = Notice(happened, {"act": _said(acts, whom.language)}, "notice.desk_subject", call=True)
        unit: list[Operation] = []
        if subject_id is not None and parts.public_url and places:
            link, insert = dispute_link(parts, whom)
            notice = Notice(notice.happened, notice.values, notice.subject, link, "notice.link_not_me", call=True)
            unit.append(insert)
        return [*unit, *tell(parts, whom, places, notice), *self._second_officer(whom, replace(whose, user=user), acts)]

    def _second_officer(self, whom: Whom, whose: Whose, acts: Sequence[Act]) -> Sequence[Operation]:
        if not self.document.notices.security_mail or not self.is_of_administrator(whose):
            return ()
        language = self.parts.configuration().realms.default.settings.language
        values: Mapping[str, str | int] = {"name": whom.user_name, "act": _said(acts, language), "by": self.office.actor}
        return to_security(self.parts, whom, Notice("desk_admin", values))


def parts_of(office: Office, document: Document) -> EngineParts:
    """What messages are made from, of the document in force: no directory and no gateway is opened for it."""
    channels = frozenset(kind_of(each).channel(each) for each in document.gateways)
    default = next((realm.brand for realm in document.realms if realm.default), None)
    brands = {realm.name: merged(document.brand, realm.brand).name or PRODUCT for realm in document.realms}
    configuration = EngineConfiguration(
        0,
        Realms([Realm(each, ()) for each in document.realms]),
        {_portal(document).name: Application(_portal(document), default_policy(USUAL_KINDS, STRONG_KINDS))},
        sending=document.sending,
        channels=channels,
        notices=document.notices,
        brands={**brands, "": merged(document.brand, default).name or PRODUCT},
    )
    return EngineParts(
        office.storage, office.clock, lambda: office.ring, lambda: configuration, public_url=office.portal_url.rstrip("/")
    )


def whom_of(
    office: Office, document: Document, name: str, user: DirectoryUser | None, directory: str, subject_id: SubjectId | None
) -> Whom:
    """Whom messages are for: in his language, under the name of his realm."""
    realm = next((each for each in document.realms if directory in each.directories), None)
    language = (user.language if user is not None else None) or (realm.language if realm is not None else "en")
    shown, reference = user.name if user is not None else name, office.reference or ""
    named = realm.name if realm is not None else ""
    return Whom(subject_id or "", shown, _portal(document).name, "", reference, language, named, ticket=office.ticket)


def _portal(document: Document) -> AnyApplicationSettings:
    return next(each for each in with_portal(document.applications, "") if each.kind == "portal")


async def looked_up(office: Office, document: Document, whose: Whose) -> DirectoryUser | None:
    """Somebody as his directory tells him; None where it does not answer, or not any more."""
    try:
        async with opened(office, document, settings_of(document, whose.directory)) as directory:
            return await directory.get(whose.immutable_id, TIMEOUT_S)
    except (UnavailableError, SettingsError, NotFound):
        return None


def _said(acts: Sequence[Act], language: str) -> str:
    return " ".join(each.said(language) for each in acts)


# --- administrators ------------------------------------------------------------------------------------------------------


def _strict_floors(document: Document) -> Iterator[tuple[AnyApplicationSettings, Sequence[Floor]]]:
    """The floors that hold people to what administrators are held to, of each application that has some."""
    applications = {each.policy: each for each in with_portal(document.applications, "")}
    for settings in document.policies:
        application = applications.get(settings.name)
        if application is None or not any(_is_strict(each.then) for each in settings.floors):
            continue
        floors = compile_policy(settings, KINDS, STRONG_KINDS, document.networks).floors
        yield application, [each for each in floors if _is_strict(each.then)]


def _is_strict(then: FloorThenSettings) -> bool:
    return then.strong_factors >= ADMINISTRATORS_STRONG_FACTORS


def _facts(office: Office, application: AnyApplicationSettings, realm: str, user: DirectoryUser) -> Facts:
    return Facts(
        goal="login",
        application=application.name,
        application_kind=application.kind,
        door="radius" if application.kind == "radius" else "portal",
        realm=realm,
        directory=user.directory,
        user=user.name,
        at=office.clock.now(),
        groups=qualified_groups((user.directory, realm), user.groups, user.group_aliases),
        attributes={name.lower(): values for name, values in user.attributes.items()},
    )
