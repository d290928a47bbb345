"""A login that begins with a Kerberos ticket: nobody types a name or a password, the domain that the computer is in says who it is.

The ticket is a dated proof of before: it stands for the password where a rule of the policy says so (`[password, kerberos]`), for
a login alone, and for nothing else. It is aged: who typed his password to the domain too long ago, or before it was changed, has
no proof. What a browser sent is used once, on any node: that it was used is written before anything is made of it. The account is
found by the SID that the domain controller signed, never by the name in the ticket, and is as its directory tells it now.

Whoever brings a ticket that is not taken hears the same, whatever was wrong with it; the timeline knows.
"""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Final

from wardgate.audit.timeline import Trail, new_transaction_id
from wardgate.clock import to_ms
from wardgate.directory.port import AccountState, DirectoryUser, TicketHolders
from wardgate.engine import brakes
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.finding import Found, login_name
from wardgate.engine.first_factor import FirstFactor
from wardgate.engine.outcome import Denied, Origin
from wardgate.engine.recording import Recording
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import EngineConfiguration, EngineParts, TicketPlace
from wardgate.engine.transaction import Handle, handle_mac, used_handle
from wardgate.errors import DirectoryUnavailable, KerberosUnavailable
from wardgate.factors import KERBEROS
from wardgate.kerberos.port import SKEW_S, NotTaken, Ticket, TicketChecking, Why
from wardgate.policy.plan import Plan
from wardgate.storage.port import Refused
from wardgate.texts import Text
from wardgate.values import quick_value

# A clock may be off either way, so a copy is good for as long after the moment that it tells as before it.
KEPT_MS: Final = 2 * SKEW_S * 1000 + 60_000
MAX_SHOWN_CHARS: Final = 128
NOT_TAKEN: Final = Text("kerberos.not_taken")
_EPOCH: Final = {"name": "epoch_opened_at"}
# A ticket tells whole seconds, the directory tells parts of them; both are by the clocks of the domain.
_WHOLE_SECONDS: Final = timedelta(seconds=1)
# Of what brakes hold for, what stops a ticket: failures of this person from this very source.
_STOPPING: Final = ("brake_user_source", "brake_source")


@quick_value
class TicketRequest:
    """What a browser brought. `bindings`: of the channel that it came by, empty where that is not ours to know."""

    application: str
    shown: bytes
    bindings: bytes
    origin: Origin
    trail: Trail


@quick_value
class ByTicket:
    """Whose ticket it is. `login`: what he would have typed; `answer`: what proves us to his browser."""

    attempt: Attempt
    candidate: Candidate
    login: str
    answer: bytes


def places_for(configuration: EngineConfiguration, client: str | None) -> Sequence[TicketPlace]:
    """The directories whose tickets are taken from a browser at this address; none where it is not asked for one."""
    if not configuration.tickets or not client:
        return ()
    try:
        address = ip_address(client)
    except ValueError:
        return ()
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return [place for place in configuration.tickets if any((mapped or address) in network for network in place.networks)]


def takes_tickets(plan: Plan) -> bool:
    """Whether a ticket may stand for the password here."""
    return any(KERBEROS in step for step in plan.steps)


class TicketFirst:
    """Finds whose ticket it is."""

    def __init__(self, parts: EngineParts, refusing: Refusing, first: FirstFactor) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._refusing = refusing
        self._first = first

    async def prove(self, request: TicketRequest) -> ByTicket | Denied:
        """Who it is. All refusals read alike, but that of a brake and of a directory that is down. Raises Overloaded."""
        configuration = self._parts.configuration()
        nobodys = self._attempt(request, configuration.realms.default.name, "")
        places = places_for(configuration, request.origin.client)
        if not places:
            return await self._unknown(nobodys, "ticket_not_asked")
        if await self._is_after_restore(nobodys):
            return await self._unknown(nobodys, "ticket_after_restore")
        try:
            found = await self._checked(request, places)
        except KerberosUnavailable as error:
            request.trail.note("no ticket can be checked", error=error.message)
            return await self._unknown(nobodys, "ticket_unavailable")
        if isinstance(found, NotTaken):
            request.trail.note("ticket checked", verdict=found.why.value, detail=found.detail)
            return await self._unknown(nobodys, found.why.value)
        place, ticket = found
        request.trail.note("ticket checked", verdict="right", principal=f"{ticket.name}@{ticket.realm}"[:MAX_SHOWN_CHARS])
        if not await self._is_first(nobodys, ticket):
            return await self._unknown(nobodys, "ticket_replayed")
        return await self._whose(request, nobodys, place, ticket)

    async def _checked(self, request: TicketRequest, places: Sequence[TicketPlace]) -> tuple[TicketPlace, Ticket] | NotTaken:
        """The first directory whose key opens it. What is no ticket at all is shown to none but the first."""
        refused: NotTaken | None = None
        for place in places:
            bindings = b"" if place.any_channel else request.bindings
            found = await self._tickets.check(place.service, request.shown, bindings)
            if isinstance(found, Ticket):
                return place, found
            refused = refused or found
        return refused or NotTaken(Why.INVALID)

    @property
    def _tickets(self) -> TicketChecking:
        tickets = self._parts.tickets
        if tickets is None:
            raise KerberosUnavailable("this process takes no tickets")
        return tickets

    async def _is_after_restore(self, attempt: Attempt) -> bool:
        """Whether storage was restored so lately that what was used before would count as new."""
        row = await self._storage.get("installation", _EPOCH)
        return row is not None and attempt.now_ms < int(str(row["value"])) + KEPT_MS

    async def _is_first(self, attempt: Attempt, ticket: Ticket) -> bool:
        """Write down that this was used, in a commit of its own: whoever is first goes on."""
        trail = attempt.request.trail
        trail.transaction_id = trail.transaction_id or new_transaction_id()
        mac = handle_mac(self._parts.ring(), b"kerberos\0" + ticket.use)
        handle = Handle(mac, trail.transaction_id, 0, attempt.request.origin.binding, attempt.now_ms + KEPT_MS, None, None, None)
        return not isinstance(await self._storage.commit([used_handle(handle, attempt.now_ms)]), Refused)

    async def _whose(self, request: TicketRequest, nobodys: Attempt, place: TicketPlace, ticket: Ticket) -> ByTicket | Denied:
        """The account behind the SID, as its directory tells it now."""
        directory = place.directory
        if ticket.realm != place.service.principal.rpartition("@")[2] or not isinstance(directory, TicketHolders):
            return await self._unknown(nobodys, "ticket_other_realm")
        try:
            user = await directory.find_by_sid(ticket.sid, self._parts.directory_timeout_s)
        except DirectoryUnavailable as error:
            request.trail.note("directory did not answer", error=error.message)
            return self._refusing.down(nobodys)
        if user is None:
            return await self._unknown(nobodys, "user_unknown")
        login = login_name(self._parts.configuration().realms, place.realm.name, user.name)
        attempt = self._attempt(request, place.realm.name, login, user.name)
        candidate = await self._first.look(attempt, Found(directory, user))
        reason = _problem(user, attempt, ticket, place)
        if reason:
            return await self._refused(attempt, candidate, reason)
        settings = attempt.configuration.brakes
        hold = await brakes.held_by(self._storage, candidate.keys, candidate.seen, settings, attempt.now_ms)
        if hold is not None and hold.reason in _STOPPING:
            return await self._refusing.held(attempt, candidate, hold)
        return ByTicket(attempt, candidate, login, ticket.answer)

    def _attempt(self, request: TicketRequest, realm: str, login: str, name: str = "") -> Attempt:
        configuration, now = self._parts.configuration(), self._parts.clock.now()
        begin = BeginRequest(request.application, login, request.origin, request.trail, None)
        request.trail.application, request.trail.user = request.application, login
        application = configuration.applications[request.application]
        found = next(each for each in configuration.realms if each.name == realm)
        # The name was not typed, so nothing is remembered of it as of a typed one.
        return Attempt(begin, configuration, application, found, (name,), now, to_ms(now))

    async def _unknown(self, attempt: Attempt, reason: str) -> Denied:
        """Nobody's ticket. Counted for nobody: it is no guess at anybody's password."""
        refusal = self._refusing.refuse(attempt, reason, NOT_TAKEN)
        origin = attempt.request.origin
        keys = brakes.brake_keys(self._parts.ring(), "kerberos:", origin.client, origin.binding)
        nobody = Candidate(None, None, None, keys, brakes.Seen(None, None, None))
        await self._refusing.record_unproved(attempt, nobody, (), refusal)
        return refusal

    async def _refused(self, attempt: Attempt, candidate: Candidate, reason: str) -> Denied:
        """Somebody's ticket that opens nothing: he hears what nobody's does."""
        refusal = self._refusing.refuse(attempt, reason, NOT_TAKEN)
        name = attempt.application.settings.name
        recording = Recording(self._parts, attempt.request.trail, name, candidate.subject_id, whose=candidate.user)
        await recording.commit_denied((), refusal, candidate.found.name)
        return refusal


def _problem(user: DirectoryUser, attempt: Attempt, ticket: Ticket, place: TicketPlace) -> str:
    """Why this account, or this ticket of it, opens nothing now; empty where it does."""
    if user.state is not AccountState.ACTIVE:
        return f"account_{user.state.value}"
    if user.must_change:
        return "must_change"
    if user.password_expires_at is not None and user.password_expires_at <= attempt.now:
        return "password_expired"
    if attempt.now - ticket.proved_at > timedelta(seconds=place.max_age_s):
        return "ticket_too_old"
    # Tickets outlive the password that they came from; whoever had that one is to be out.
    if user.password_changed_at is not None and ticket.proved_at + _WHOLE_SECONDS <= user.password_changed_at:
        return "ticket_of_old_password"
    return ""
