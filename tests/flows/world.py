"""A small world for flow tests: the real engine on a real storage, a memory directory and a clock that is moved by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wardgate.account.authenticator import create_authenticator
from wardgate.account.recovery_code import create_recovery_codes
from wardgate.account.subject import SubjectId, create_subject, linked_subject
from wardgate.audit.timeline import Trail
from wardgate.audit.trail import Verification, chain_for, verify
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_key
from wardgate.delivery.outbox import OutboxEntry, list_messages
from wardgate.delivery.port import Channel
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Granted, Origin, Outcome
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts
from wardgate.engine.settings import ApplicationSettings, BrakeSettings, CodeSettings, NoticeSettings, SendingSettings
from wardgate.factors import KINDS, STRONG_KINDS, USUAL_KINDS
from wardgate.factors.totp import hotp, time_step
from wardgate.kba.asking import Questioner
from wardgate.kba.catalogue import Catalogue, compile_catalogue
from wardgate.kba.enrolment import About, Enrolment, Given, Prepared
from wardgate.kba.settings import KbaSettings
from wardgate.passwords import PasswordHasher
from wardgate.policy.rules import Policy, compile_policy, default_policy
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Row, Storage, Update
from wardgate.storage.sqlite import SqliteStorage
from wardgate.texts import render

START = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)  # the very beginning of a time step of 30 and of 60 seconds
SECRET = bytes(range(20))
PHONE_OF_TESTS = "+905321234567"
ANSWERS = {"dish": "Ratatouille", "lost": "Lighthouse", "toy": "Lokomotif", "shop": "Kipling Brothers", "film": "Metropolis"}
OWN_QUESTION, OWN_ANSWER = "Who rowed the leaking boat?", "Uncle Mehmet"
NAS = Origin(door="radius", binding="radius:hq:", source="192.0.2.10", nas="hq", client="203.0.113.7")


def a_ring() -> KeyRing:
    """A fresh key ring."""
    return KeyRing({MAC_ROOT: new_key(), 1: new_key()})


def the_default_policy() -> Policy:
    """Password and any one second factor."""
    return default_policy(USUAL_KINDS, STRONG_KINDS)


@dataclass
class World:
    """Everything a login needs, and shorthands that read like a conversation."""

    storage: Storage = field(default_factory=MemoryStorage)
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    ring: KeyRing = field(default_factory=a_ring)
    directory: MemoryDirectory = field(default_factory=lambda: MemoryDirectory("local"))
    codes: CodeSettings = field(default_factory=CodeSettings)
    brakes: BrakeSettings = field(default_factory=BrakeSettings)
    sending: SendingSettings = field(default_factory=SendingSettings)
    policy: Policy = field(default_factory=the_default_policy)
    application: ApplicationSettings = field(default_factory=lambda: ApplicationSettings(name="vpn"))
    packets: int = 0
    channels: frozenset[Channel] = frozenset(Channel)
    kba: KbaSettings | None = None
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    brands: Mapping[str, str] = field(default_factory=dict)
    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher(2, 100, time_cost=1, memory_kib=8))
    trails: list[Trail] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.storage.use_chain(chain_for(self.ring, "test", 1))
        settings = RealmSettings(name="acme", default=True, directories=("local",), domains=("acme.test", "ACME"))
        self.realms = Realms([Realm(settings, (self.directory,))])
        self.engine = self.another_engine()

    def another_engine(self) -> Engine:
        """A second node on the same storage."""
        return Engine(EngineParts(self.storage, self.clock, lambda: self.ring, self.configuration, keep_messages=True))

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        applications = {"vpn": Application(self.application, self.policy)}
        return self.configured(applications)

    def configured(self, applications: Mapping[str, Application]) -> EngineConfiguration:
        """A configuration with these applications."""
        asks = self.questioner if self.kba is not None else None
        settings = (self.codes, self.brakes, self.channels)
        named = {"sending": self.sending, "questioner": asks, "notices": self.notices, "brands": self.brands}
        return replace(EngineConfiguration(1, self.realms, applications, *settings), **named)

    @property
    def questioner(self) -> Questioner:
        """Who asks challenge questions; made anew, as each worker has its own."""
        return Questioner(self.storage, lambda: self.ring, self.hasher, self.clock, self._catalogue)

    @property
    def _catalogue(self) -> Catalogue:
        return compile_catalogue(self.kba or KbaSettings(), ())

    def use_policy(self, rules: Sequence[RuleSettings], floors: Sequence[FloorSettings] = ()) -> None:
        """Put a policy in force."""
        self.policy = compile_policy(PolicySettings(name="test", rules=tuple(rules), floors=tuple(floors)), KINDS, STRONG_KINDS)

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    # --- people -------------------------------------------------------------------------------------------------------

    async def person(self, name: str, password: str | bytes = "correct horse", **fields: Any) -> DirectoryUser:
        """A user whom the engine has met."""
        user = self.directory.add(name, password, **fields)
        _, operations = create_subject(user.directory, user.immutable_id, to_ms(self.clock.now()))
        await self.storage.commit(operations)
        return user

    async def subject_of(self, user: DirectoryUser) -> SubjectId:
        """The user's subject."""
        subject = await linked_subject(self.storage, user.directory, user.immutable_id)
        assert subject is not None
        return subject

    async def give_totp(self, user: DirectoryUser, secret: bytes = SECRET, **settings: str | int) -> str:
        """Enrol an app."""
        return await self._give(user, "totp", secret, 0, {"digits": 6, "period_s": 30, "algorithm": "SHA1", **settings})

    async def give_hotp(self, user: DirectoryUser, secret: bytes = SECRET, counter: int = 0) -> str:
        """Enrol a counting device."""
        return await self._give(user, "hotp", secret, counter, {"digits": 6})

    async def revoke(self, authenticator_id: str) -> None:
        """End an authenticator, as an operator does."""
        await self.storage.commit([Update("authenticator", {"id": authenticator_id}, {"state": "revoked"})])

    async def give_recovery_codes(self, user: DirectoryUser) -> list[str]:
        """Print a sheet."""
        _, codes, operations = create_recovery_codes(self.ring, await self.subject_of(user), "sheet", to_ms(self.clock.now()))
        await self.storage.commit(operations)
        return codes

    async def give_answers(self, user: DirectoryUser, own: bool = False) -> None:
        """Answer challenge questions: `ANSWERS`, and one that the person wrote himself."""
        given = [Given(Secret(answer), question_id=question) for question, answer in ANSWERS.items()]
        given += [Given(Secret(OWN_ANSWER), question=OWN_QUESTION)] if own else []
        enrolment = Enrolment(self.storage, self.ring, self.hasher, self.clock, self._catalogue)
        made = await enrolment.prepare(About(await self.subject_of(user)), given, "test")
        assert isinstance(made, Prepared), made
        await self.storage.commit(made.operations)

    async def _give(self, user: DirectoryUser, kind: str, secret: bytes, counter: int, settings: Mapping[str, str | int]) -> str:
        authenticator_id, insert = create_authenticator(
            self.ring, await self.subject_of(user), kind, kind, settings, Secret(secret), counter, to_ms(self.clock.now())
        )
        await self.storage.commit([insert])
        return authenticator_id

    def totp(self, steps: int = 0, secret: bytes = SECRET, *, digits: int = 6, period_s: int = 30, algorithm: str = "SHA1") -> str:
        """The app's code now, or some steps away."""
        return hotp(Secret(secret), time_step(self.clock.now(), period_s) + steps, digits, algorithm)

    def wrong_code(self, secret: bytes = SECRET, digits: int = 6) -> str:
        """Digits that are no code of this secret: neither of the time steps around now nor of the first counters."""
        now = time_step(self.clock.now(), 30)
        taken = {hotp(Secret(secret), step, digits) for step in (*range(now - 20, now + 21), *range(40))}
        return next(code for code in (f"{n:0{digits}d}" for n in range(1000)) if code not in taken)

    # --- conversations ------------------------------------------------------------------------------------------------

    async def begin(
        self,
        name: str,
        password: str | bytes | None = "correct horse",
        *,
        code: str | None = None,
        origin: Origin = NAS,
        can_challenge: bool = True,
        proved_elsewhere: frozenset[str] = frozenset(),
        engine: Engine | None = None,
        application: str = "vpn",
        device: Secret | None = None,
    ) -> Outcome:
        """The first request."""
        request = BeginRequest(
            application=application,
            user_name=name,
            origin=origin,
            trail=self._trail(origin),
            password=Secret(password) if password is not None else None,
            code=Secret(code) if code is not None else None,
            can_challenge=can_challenge,
            proved_elsewhere=proved_elsewhere,
            device=device,
        )
        return await (engine or self.engine).begin(request)

    async def answer(
        self,
        challenge: Outcome,
        answer: str,
        *,
        name: str,
        origin: Origin = NAS,
        fingerprint: bytes | None = None,
        engine: Engine | None = None,
    ) -> Outcome:
        """The next request; every call is another packet unless a fingerprint is given."""
        assert isinstance(challenge, Challenge)
        self.packets += 1
        mark = fingerprint or self.packets.to_bytes(8, "big")
        request = AnswerRequest(challenge.handle, Secret(answer), name, mark, origin, self._trail(origin))
        return await (engine or self.engine).answer(request)

    async def challenged(self, name: str, password: str | None = "correct horse", **options: Any) -> Challenge:
        """The first request of somebody whose password is right."""
        outcome = await self.begin(name, password, **options)
        assert isinstance(outcome, Challenge), outcome
        return outcome

    async def wrong_passwords(self, name: str, times: int, **options: Any) -> list[Outcome]:
        """So many wrong passwords, one after the other."""
        return [await self.begin(name, f"guess {number}", **options) for number in range(times)]

    def _trail(self, origin: Origin) -> Trail:
        trail = Trail(self.clock, "radius")
        trail.nas, trail.source, trail.client = origin.nas, origin.source, origin.client or ""
        self.trails.append(trail)
        return trail

    @property
    def trail(self) -> Trail:
        """The timeline of the last request."""
        return self.trails[-1]

    # --- looking ------------------------------------------------------------------------------------------------------

    async def messages(self) -> list[OutboxEntry]:
        """The outbox, newest first. Of those put in at one moment any may stand first."""
        return await list_messages(self.storage, self.ring, 1000)

    async def code(self, name: str | None = None) -> str:
        """The code in the newest message (to this user) that has one: a notice may have gone in the same moment."""
        return next(each.code for each in await self.messages() if each.code and (name is None or each.user == name))

    async def verified(self) -> Verification:
        """What the audit verifier says."""
        return await verify(self.storage, self.ring)

    async def events(self, kind: str | None = None) -> list[Row]:
        """Audit events in order."""
        rows = await self.storage.find("audit_event", order_by="seq")
        return [row for row in rows if kind is None or row["kind"] == kind]

    async def payloads(self, kind: str) -> list[dict[str, object]]:
        """What the audit events of a kind say."""
        return [json.loads(str(row["payload"])) for row in await self.events(kind)]

    async def failures(self, kind: str = "user_source") -> int:
        """The most failures that any brake of this kind counts."""
        return max((int(row["failures"] or 0) for row in await self.rows("brake") if row["kind"] == kind), default=0)

    async def in_flight(self) -> int:
        """How many attempts are reserved and not settled."""
        return sum(int(row["in_flight"] or 0) for row in await self.rows("brake"))

    async def rows(self, table: str) -> list[Row]:
        """All rows of a table."""
        return await self.storage.find(table)


def says(outcome: Outcome, language: str | None = None) -> str:
    """The sentence that a person reads."""
    if isinstance(outcome, Challenge):
        return " ".join(render(text, language or outcome.language) for text in outcome.texts)
    assert isinstance(outcome, Denied), outcome
    return render(outcome.text, language or outcome.language)


def reason(outcome: Outcome) -> str:
    """Why it was refused."""
    assert isinstance(outcome, Denied), outcome
    return outcome.reason


def is_asked_first(outcome: Outcome) -> bool:
    """Whether a strong factor is asked for before the password is looked at."""
    return isinstance(outcome, Challenge) and outcome.texts[0].id == "code.ask_strong_first"


def is_granted(outcome: Outcome) -> bool:
    """Whether somebody was let in."""
    return isinstance(outcome, Granted)


def elsewhere(**changes: Any) -> Origin:
    """The usual NAS with something changed."""
    return replace(NAS, **changes)


def wait_says(outcome: Outcome) -> int:
    """How many minutes the person is told to wait."""
    if is_asked_first(outcome) and isinstance(outcome, Challenge):
        return int(outcome.texts[0].values["min"])
    assert isinstance(outcome, Denied), outcome
    assert outcome.text.id == "wait.person", outcome
    return int(outcome.text.values["min"])


def rule(name: str, *steps: Sequence[str], when: Mapping[str, object] | None = None, deny: bool = False) -> RuleSettings:
    """A policy rule: `rule("staff", ["password"], ["totp", "sms"])`."""
    return RuleSettings(name=name, when=when or {}, then=ThenSettings(steps=tuple(tuple(step) for step in steps), deny=deny))


def floor(name: str, *, strong: int = 0, never: Sequence[str] = (), when: Mapping[str, object] | None = None) -> FloorSettings:
    """A floor: `floor("administrators", strong=2, when={"group": ["local:admins"]})`."""
    return FloorSettings(name=name, when=when or {}, then=FloorThenSettings(strong_factors=strong, never=tuple(never)))


async def at_once(*calls: Any) -> list[Any]:
    """All of these at the same time, started together."""
    return list(await asyncio.gather(*calls))


BACKENDS = ("memory", "sqlite")


@asynccontextmanager
async def a_storage(backend: str, folder: Path) -> AsyncIterator[Storage]:
    """An empty storage of this kind."""
    storage: Storage = MemoryStorage() if backend == "memory" else await SqliteStorage.open(folder / "wardgate.db")
    try:
        yield storage
    finally:
        await storage.close()
