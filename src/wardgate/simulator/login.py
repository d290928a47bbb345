"""One login as a NAS drives it: request, challenges, verdict; and the two logins in a row of GlobalProtect."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Protocol

from wardgate.errors import UsageError
from wardgate.radius.client import build_access_request
from wardgate.radius.packet import Code, Packet, Type
from wardgate.radius.pap import MAX_PASSWORD_BYTES
from wardgate.simulator import globalprotect
from wardgate.simulator.line import Exchange, Line, Watcher
from wardgate.simulator.nas import SimulatedNas
from wardgate.texts import DEFAULT_LANGUAGE, catalogue

# A server that never stops asking is a fault of the server.
MAX_ROUNDS = 20
_REFERENCE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{8}$")


class Outcome(StrEnum):
    """How a login ended."""

    ACCEPT = "accept"
    REJECT = "reject"
    NO_REPLY = "no_reply"


class Reporter(Watcher, Protocol):
    """Is told what happens, as it happens."""

    def heading(self, text: str) -> None:
        """A login begins."""
        ...

    def remark(self, text: str) -> None:
        """Something that a person should know."""
        ...

    def complaint(self, text: str) -> None:
        """Something that would go wrong with a real device."""
        ...


Answer = Callable[[str, float], Awaitable[str]]
"""What the person types: given what the device shows, and the time (seconds since 1970) at which this question was asked."""
Explain = Callable[[str], str | None]
"""Why a login was refused, by its reference; None where the server's timeline cannot be read."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who logs in."""

    user: str
    password: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Login:
    """One login that has ended. `typed`: the last answer to a challenge, which GlobalProtect sends again."""

    at: str
    outcome: Outcome
    exchanges: tuple[Exchange, ...]
    message: str = ""
    typed: str | None = field(default=None, repr=False)
    reason: str | None = None
    expected: bool = True
    """False for a refusal that belongs to the play, and does not make it fail."""


Gateway = Literal["asks", "cookie", "hand_over"]


@dataclass(slots=True)
class Device:
    """A NAS at work."""

    nas: SimulatedNas
    line: Line
    report: Reporter
    explain: Explain = lambda reference: None
    complaints: list[str] = field(default_factory=list)

    async def log_in(self, at: str, person: Person, password: str | None = None) -> Login:
        """One login; `password` is sent instead of the person's own."""
        self.report.heading(f"{at}: {person.user} at {self.line.server.name}")
        exchanges: list[Exchange] = []
        if self.nas.chap_first:
            exchanges += await self._try_chap(person)
        proof, state, typed = person.password if password is None else password, None, None
        for _ in range(MAX_ROUNDS):
            asked_at = time.time()
            exchange = await self.line.exchange(self.request(person.user, proof, state))
            exchanges.append(exchange)
            if exchange.reply is None or exchange.reply.code is not Code.ACCESS_CHALLENGE:
                return self._ended(at, person.user, exchanges, typed)
            text = self._show(exchange.reply)
            state = exchange.reply.first(Type.STATE)
            proof = typed = await person.answer(text, asked_at)
        self._complain(f"the server asked {MAX_ROUNDS} times without an end")
        return self._ended(at, person.user, exchanges, typed)

    def request(self, user: str, proof: str, state: bytes | None = None, chap: bool = False) -> Packet:
        """An Access-Request of this device."""
        if len(proof.encode()) > MAX_PASSWORD_BYTES:
            raise UsageError(f"a password field holds at most {MAX_PASSWORD_BYTES} octets")
        return build_access_request(
            user,
            proof,
            self.line.secret,
            identifier=self.line.identifier(),
            nas_identifier=self.nas.identifier,
            state=state,
            attributes=self.nas.attributes(self.line.own_address, user),
            chap=chap,
            message_authenticator=self.nas.message_authenticator,
        )

    async def _try_chap(self, person: Person) -> list[Exchange]:
        """PAN-OS 7.1 and older in protocol `auto`: CHAP first, and PAP when that is refused."""
        exchange = await self.line.exchange(self.request(person.user, person.password, chap=True))
        if exchange.reply is not None and exchange.reply.code is Code.ACCESS_REJECT:
            self.report.remark("CHAP was refused, so the device tries PAP")
        elif exchange.reply is not None:
            self._complain("CHAP was not refused: it can carry no one-time code")
        return [exchange]

    def _show(self, challenge: Packet) -> str:
        """What the device shows the person."""
        text = message_of(challenge)
        if self.nas.vendor == "paloalto":
            for complaint in globalprotect.complaints(challenge):
                self._complain(complaint)
            text = globalprotect.shown(text) or text
        self.report.remark(f"the person sees: {text}")
        return text

    def _ended(self, at: str, user: str, exchanges: list[Exchange], typed: str | None) -> Login:
        reply = exchanges[-1].reply
        if reply is None:
            return Login(at, Outcome.NO_REPLY, tuple(exchanges), exchanges[-1].silence, typed)
        if reply.code is Code.ACCESS_ACCEPT:
            return Login(at, Outcome.ACCEPT, tuple(exchanges), message_of(reply), typed)
        message = message_of(reply)
        reason = self.explain(reference_of(message)) if reference_of(message) else None
        if reason:
            self.report.remark(f"why, from the server's timeline: {plain_reason(reason, user)}")
        return Login(at, Outcome.REJECT, tuple(exchanges), message, typed, reason)

    def _complain(self, text: str) -> None:
        if text not in self.complaints:
            self.complaints.append(text)
        self.report.complaint(text)

    # --- GlobalProtect -------------------------------------------------------------------------------------------

    async def log_in_globalprotect(self, person: Person, gateway: Gateway) -> list[Login]:
        """The portal, then the gateway, as the app does it.

        The app gives the gateway what it gave the portal last: after a challenge that is the spent code. Only with an
        authentication override cookie is there no second RADIUS login at all. Where the server hands the login over, the code is
        taken once at the gateway, and not again.
        """
        portal = await self.log_in("portal", person)
        if portal.outcome is not Outcome.ACCEPT:
            return [portal]
        if gateway == "cookie":
            self.report.remark("gateway: takes the portal's authentication override cookie and does not ask by RADIUS")
            return [portal]
        if gateway == "hand_over":
            return [portal, *await self._handed_over(person, portal)]
        again = await self._reuse(person, portal)
        if again.outcome is not Outcome.REJECT:
            return [portal, again]
        return [portal, again, await self.log_in("gateway", person)]

    async def _handed_over(self, person: Person, portal: Login) -> list[Login]:
        """The gateway with the portal's credentials, which the server takes once: the second time must be refused."""
        if portal.typed is None:
            return [await self.log_in("gateway with the portal's credentials", person)]
        first = await self.log_in("gateway with the portal's credentials", person, portal.typed)
        if first.outcome is not Outcome.ACCEPT:
            self._complain("the portal's login was not handed over: see hand_over_s of the application, and what the NAS tells")
            return [first]
        again = await self.log_in("the same once more", person, portal.typed)
        if again.outcome is Outcome.ACCEPT:
            self._complain("what was handed over was taken twice")
            return [first, again]
        return [first, replace(again, expected=False)]

    async def _reuse(self, person: Person, portal: Login) -> Login:
        """The gateway with the portal's credentials."""

        async def nothing(text: str, asked_at: float) -> str:
            return ""

        sent = Person(person.user, portal.typed or person.password, nothing)
        login = await self.log_in("gateway with the portal's credentials", sent)
        if portal.typed is None or login.outcome is Outcome.NO_REPLY:
            return login
        if login.outcome is Outcome.ACCEPT:
            self._complain("a code that was spent at the portal was taken again at the gateway")
            return login
        self.report.remark(
            "the app re-used the portal's code, which is spent; now it asks the person again. An authentication override "
            "cookie on portal and gateway spares this (--cookie)"
        )
        return Login(login.at, login.outcome, login.exchanges, login.message, None, login.reason, expected=False)


def message_of(reply: Packet) -> str:
    """The Reply-Messages, in one text."""
    return " ".join(value.decode("utf-8", "replace") for value in reply.all(Type.REPLY_MESSAGE))


def reference_of(message: str) -> str:
    """The reference at the end of a refusal, empty when there is none."""
    found = _REFERENCE.search(message)
    return found.group() if found else ""


def plain_reason(reason: str, user: str) -> str:
    """The sentence for a reason of the timeline; the reason itself when a newer server has one that we do not know."""
    sentence = catalogue(DEFAULT_LANGUAGE).get(f"reason.{reason}", reason)
    return sentence.replace("{user}", user)


def overall(logins: list[Login]) -> Outcome:
    """How the whole play ended: as its last login did, apart from refusals that belong to the play."""
    return next((login.outcome for login in reversed(logins) if login.expected), logins[-1].outcome)
