"""The page of a short link: what it may show, what proves or sets something up there, and the end of a login that was not his.

Nothing here takes a login anywhere: a proof is noted on the link, under a condition that holds once, and what comes of it is a code
that the login's own window has to bring. Who opens somebody else's link sees where that login was asked from, and has nothing to
give away before he has proved with what is the account owner's.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from wardgate.account import activation, freeze, short_link
from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.short_link import Purpose, ShortLink
from wardgate.account.subject import link_of, subject_in
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import from_ms, to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.engine import brakes, turns
from wardgate.engine.activated import tell_issuer
from wardgate.engine.answering import Answering, whom_of
from wardgate.engine.by_link import may_enrol
from wardgate.engine.holders import holder_of
from wardgate.engine.locks import whence
from wardgate.engine.outcome import Denied
from wardgate.engine.recording import Recording
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import State, Transaction, advance, from_row
from wardgate.errors import ClockWrong
from wardgate.factors import BY_KIND, LONGEST_ANSWER, ON_PAGES
from wardgate.factors.port import Asked, Holder, Site, Task, Wrong
from wardgate.storage.port import Committed, Operation, Refused, Row, Update, Where
from wardgate.texts import Text
from wardgate.values import quick_value

# Addresses that lead nowhere, of one source. One guess in a million million is right while one link is open.
GUESSES_AN_HOUR: Final = 20
GUESSES_A_DAY: Final = 60
_GUESSES: Final = "link_guesses"
# How often the end of a login may lose against an answer that is being judged.
_END_TRIES: Final = 3
OVER: Final = Text("approve.over")
OTHER_BROWSER: Final = Text("approve.other_browser")


@quick_value
class Visit:
    """A link that leads somewhere, and the login that it belongs to. `application`: its name for people."""

    link: ShortLink
    transaction: Transaction
    application: str

    @property
    def client(self) -> str:
        """Where the login was asked from."""
        return str(self.link.asked.get("client", ""))

    @property
    def asked_at(self) -> datetime:
        """When."""
        return from_ms(self.link.created_at)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be set up."""
        return tuple(str(kind) for kind in self.link.asked.get("kinds", ()))

    @property
    def needs_start_code(self) -> bool:
        """Whether a code that an operator issued is asked for first."""
        return bool(self.link.asked.get("start_code"))


@quick_value
class Owner:
    """Whose login it is, as he is now. `rows`: of all authenticators that he has."""

    user: DirectoryUser
    holder: Holder
    rows: tuple[Row, ...]


class Approvals:
    """One per engine."""

    def __init__(self, parts: EngineParts, answering: Answering) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._answering = answering

    # --- looking ---------------------------------------------------------------------------------------------------

    async def find(self, typed: str, client: str) -> bytes | Text:
        """Which link this address names, or why there is nothing to see. A turn of its source is taken first, and given back."""
        self._trust_clock()
        ring, now_ms = self._parts.ring(), self._now_ms()
        key = ring.mac("brake-link-guesses", brakes.asker(client, "").encode())
        taken = await self._storage.commit([turns.take_turn(_GUESSES, key, now_ms, GUESSES_AN_HOUR, GUESSES_A_DAY)])
        waits_s = int(str(taken.results[0])) if isinstance(taken, Committed) else 60
        if waits_s:
            return Text("approve.wait", {"min": -(-waits_s // 60)})
        mac = short_link.mac_of(ring, typed)
        row = await self._storage.get(short_link.TABLE, {"link_mac": mac}) if mac is not None else None
        if mac is None or row is None:
            return OVER
        await self._storage.commit([turns.give_turn_back(_GUESSES, key, now_ms)])
        visit = await self.look(mac)
        return visit if isinstance(visit, Text) else mac

    async def look(self, mac: bytes) -> Visit | Text:
        """The link and its login, while both are open."""
        row = await self._storage.get(short_link.TABLE, {"link_mac": mac})
        link = short_link.from_row(self._parts.ring(), row) if row is not None else None
        stored = await self._storage.get("login_transaction", {"id": link.transaction_id}) if link is not None else None
        if link is None or stored is None:
            return OVER
        transaction, now_ms = from_row(stored), self._now_ms()
        application = self._parts.configuration().applications.get(transaction.application)
        if application is None or transaction.state is not State.CHALLENGED or transaction.is_over(now_ms):
            return OVER
        return Visit(link, transaction, application.title) if link.is_open(now_ms) else OVER

    async def owner(self, visit: Visit) -> Owner | None:
        """Whose login it is; None where the account may not be let in any more. Raises DirectoryUnavailable."""
        transaction, subject_id = visit.transaction, visit.link.subject_id
        user = await self._answering.accounts.of(transaction)
        finds = [
            link_of(transaction.directory, transaction.immutable_id),
            kept_authenticators(subject_id),
            kept_contacts(subject_id),
        ]
        linked, rows, contacts = await self._storage.read(finds)
        if user is None or subject_in(linked) != subject_id:
            return None
        holder = holder_of(self._parts.ring(), subject_id, user, *active_and_held(rows), contacts)
        return Owner(user, holder, tuple(rows))

    # --- the first POST --------------------------------------------------------------------------------------------

    async def begin(self, mac: bytes, browser: bytes, start_code: str, trail: Trail) -> Text | None:
        """Make the link this browser's, once; with the start code where one is asked for. A Text tells why not."""
        self._trust_clock()
        visit = await self.look(mac)
        if isinstance(visit, Text):
            return visit
        link = visit.link
        if link.browser_mac is not None:
            return None if link.browser_mac == browser else OTHER_BROWSER
        now_ms, issued, demands = self._now_ms(), "", list[Operation]()
        if visit.needs_start_code:
            [rows] = await self._storage.read([activation.of_subject(link.subject_id)])
            found = activation.read_one(rows)
            fits = activation.code_fits(self._parts.ring(), found, link.subject_id, start_code, now_ms)
            if not fits or found is None:
                return await self._start_code_wrong(visit, found, trail)
            issued, demands = found.id, [activation.unchanged(found, now_ms)]
        bound = await self._storage.commit([_still_open(visit, now_ms), short_link.bind(link, browser, now_ms, issued), *demands])
        return await self._not_bound(mac, browser, issued) if isinstance(bound, Refused) else None

    async def _not_bound(self, mac: bytes, browser: bytes, issued: str) -> Text | None:
        """What is told who came second. Of a right code that came beside wrong ones no more than of these: it may be a guess."""
        visit = await self.look(mac)
        if isinstance(visit, Text):
            return visit
        if visit.link.browser_mac is not None:
            return None if visit.link.browser_mac == browser else OTHER_BROWSER
        return Text("approve.start_code_wrong") if issued else OVER

    async def _start_code_wrong(self, visit: Visit, found: activation.Activation | None, trail: Trail) -> Text:
        """It counts for the link, and for the activation: the password was right, so that this is no stranger's doing."""
        now_ms = self._now_ms()
        counts: list[Operation] = [short_link.count_wrong(visit.link, now_ms)]
        if found is not None and found.code_works(now_ms):
            after, counted = activation.count_wrong(found, self._occasion(visit, trail))
            counts += counted
            if not after.is_open(now_ms):
                counts += tell_issuer(self._parts, found, whom_of(visit.transaction), "activation_spoiled")
        self._told(visit, trail, "start_code_wrong")
        await self._storage.commit([*counts, trail.entry(self._parts.ring(), now_ms)])
        return Text("approve.start_code_wrong")

    # --- proving ---------------------------------------------------------------------------------------------------

    def ask(self, visit: Visit, owner: Owner) -> Asked:
        """What the page asks for."""
        return BY_KIND[visit.link.factor].ask(owner.holder, self._task(visit, None), {})

    def repeat(self, visit: Visit, owner: Owner, memory: dict[str, object]) -> Text:
        """The same once more."""
        return BY_KIND[visit.link.factor].repeat(owner.holder, memory)

    async def prove(
        self, mac: bytes, browser: bytes, memory: dict[str, object], given: bytes, site: Site, trail: Trail
    ) -> str | Text:
        """Judge what was brought to the page: the code for the window that asked, or why there is none."""
        self._trust_clock()
        visit = await self.look(mac)
        if isinstance(visit, Text):
            return visit
        link, owner = visit.link, await self.owner(visit)
        if link.browser_mac != browser:
            return OTHER_BROWSER
        factor = BY_KIND.get(link.factor)
        if owner is None or factor is None or not factor.enrolled(owner.holder):
            return OVER
        if len(given) > LONGEST_ANSWER[factor.kind]:
            return await self._wrong(visit, Wrong("code_wrong"), trail)
        verdict = factor.verify(owner.holder, self._task(visit, site), memory, given)
        if isinstance(verdict, Wrong):
            # A form that was sent twice: the first has used up the passkey's counter, and the link with it.
            again = await self.look(mac)
            if isinstance(again, Text) or again.link.code_mac is not None:
                return again if isinstance(again, Text) else Text("approve.used")
            return await self._wrong(visit, verdict, trail)
        code, code_mac = short_link.new_window_code(self._parts.ring(), link)
        noted = short_link.note_proved(link, browser, factor.kind, verdict.twofold, code_mac, self._now_ms())
        commit = await self._commit(visit, trail, [noted, *verdict.claim], factor.kind)
        return code if isinstance(commit, Committed) else Text("approve.used")

    async def _wrong(self, visit: Visit, verdict: Wrong, trail: Trail) -> Text:
        """It counts for the link alone: whoever has it must not be able to lock the account that it is about."""
        if verdict.told is not None:
            return verdict.told
        self._told(visit, trail, verdict.reason)
        now_ms, left = self._now_ms(), short_link.TRIES - visit.link.tries - 1
        await self._storage.commit([short_link.count_wrong(visit.link, now_ms), trail.entry(self._parts.ring(), now_ms)])
        if left <= 0:
            return OVER
        return Text("passkey.wrong", {"left": left}) if left > 1 else Text("passkey.wrong_last")

    # --- setting up ------------------------------------------------------------------------------------------------

    async def may_enrol(self, mac: bytes, browser: bytes) -> tuple[Visit, Owner] | Text:
        """Whose page this is, while something may be set up on it. Raises DirectoryUnavailable."""
        visit = await self.look(mac)
        if isinstance(visit, Text):
            return visit
        if visit.link.browser_mac != browser or visit.link.purpose is not Purpose.ENROL:
            return OTHER_BROWSER
        owner, [frozen] = await self.owner(visit), await self._storage.read([freeze.asked(visit.link.subject_id)])
        if frozen:
            return Text("freeze.on")
        return (visit, owner) if owner is not None else OVER

    async def enrolled(
        self, mac: bytes, browser: bytes, kind: str, twofold: bool, operations: list[Operation], trail: Trail
    ) -> str | Text:
        """Set it up, once and while its login is open: `operations` are what makes it. Empty: the window asks for it as ever.

        Else the code for that window, because what was set up cannot be asked for there.
        """
        self._trust_clock()
        found = await self.may_enrol(mac, browser)
        if isinstance(found, Text):
            return found
        visit, owner = found
        if kind not in visit.kinds or not may_enrol(visit.transaction, owner.holder):
            return Text("approve.has_one")
        link, now_ms = visit.link, self._now_ms()
        used: list[Operation] = []
        if visit.needs_start_code:
            [rows] = await self._storage.read([activation.of_subject(link.subject_id)])
            issued = activation.read_one(rows)
            if issued is None or issued.id != link.activation:
                return Text("approve.start_code_gone")
            used = activation.use(issued, self._occasion(visit, trail))
        code, code_mac = short_link.new_window_code(self._parts.ring(), link) if kind in ON_PAGES else ("", None)
        noted = short_link.note_proved(link, browser, kind, twofold, code_mac, now_ms)
        commit = await self._commit(visit, trail, [noted, *used, *operations], kind)
        return code if isinstance(commit, Committed) else Text("approve.used")

    # --- "this was not me" -----------------------------------------------------------------------------------------

    async def disown(self, mac: bytes, trail: Trail) -> Text:
        """End the login, and have whoever asked for it wait. Nothing has to be proved for that: nobody else loses anything."""
        for _ in range(_END_TRIES):
            visit = await self.look(mac)
            if isinstance(visit, Text):
                return visit
            transaction, now_ms = visit.transaction, self._now_ms()
            done = Text("approve.disowned", {"ref": transaction.reference})
            refusal = Denied("disowned", done, transaction.language, transaction.reference)
            self._told(visit, trail, "disowned")
            ended = [
                advance(transaction, transaction.moved(state=State.DENIED, held="")),
                short_link.end(visit.link, now_ms),
                *self._held_back(visit, now_ms),
            ]
            recording = Recording(self._parts, trail, transaction.application, transaction.subject_id)
            commit = await recording.commit(ended, Kind.LOGIN_DISOWNED, refusal, transaction.user_name)
            if isinstance(commit, Committed):
                return done
        return OVER

    def _held_back(self, visit: Visit, now_ms: int) -> list[Operation]:
        """Who knows this password and is not its owner waits at once, from where he asked; the owner elsewhere does not."""
        transaction, asked = visit.transaction, visit.link.asked
        settings = replace(self._parts.configuration().brakes, user_source_failures=1)
        binding = f"{asked.get('door', '')}:{asked.get('nas', '')}:"
        typed = f"{transaction.realm}:{transaction.name_key}"
        client = str(asked.get("counts") or "") or None
        keys = brakes.brake_keys(self._parts.ring(), transaction.subject_id, client, binding, typed=typed)
        return brakes.settle_wrong(keys, settings, now_ms, reserved=False)

    # --- shared ----------------------------------------------------------------------------------------------------

    async def _commit(self, visit: Visit, trail: Trail, operations: list[Operation], kind: str) -> Committed | Refused:
        transaction, now_ms = visit.transaction, self._now_ms()
        self._told(visit, trail, "link_proved")
        details = {
            "user": transaction.user_name,
            "application": transaction.application,
            "purpose": visit.link.purpose.value,
            "factor": kind,
            **whence(trail),
        }
        event = AuditEvent(
            Kind.LINK_PROVED,
            now_ms,
            "engine",
            transaction_id=transaction.id,
            reference=transaction.reference,
            subject_id=transaction.subject_id,
            details=details,
        )
        entry = trail.entry(self._parts.ring(), now_ms)
        commit = await self._storage.commit([_still_open(visit, now_ms), *operations, record(event), entry])
        trail.stored = isinstance(commit, Committed)
        return commit

    def _told(self, visit: Visit, trail: Trail, reason: str) -> None:
        """The timeline of this request is that of the login."""
        transaction = visit.transaction
        trail.transaction_id, trail.reference = transaction.id, transaction.reference
        trail.application, trail.user = transaction.application, transaction.user_name
        trail.result, trail.reason = "waiting" if reason == "link_proved" else "denied", reason

    def _occasion(self, visit: Visit, trail: Trail) -> activation.Occasion:
        transaction = visit.transaction
        about = (transaction.id, transaction.reference, trail.source)
        return activation.Occasion(self._now_ms(), transaction.user_name, trail.door, *about)

    def _task(self, visit: Visit, site: Site | None) -> Task:
        codes = visit.transaction.terms.codes(self._parts.configuration().codes)
        return Task(visit.transaction.id, self._parts.clock.now(), codes, self._parts.ring(), site)

    def _now_ms(self) -> int:
        return to_ms(self._parts.clock.now())

    def _trust_clock(self) -> None:
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)


def _still_open(visit: Visit, now_ms: int) -> Update:
    """The condition that the login has not ended meanwhile."""
    where = (Where("state", "=", State.CHALLENGED.value), Where("expires_at", ">", now_ms))
    return Update("login_transaction", {"id": visit.transaction.id}, {}, where=where)
