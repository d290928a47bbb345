"""A web context over storage in memory, filled with what a day at an office leaves behind."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from wardgate.admin.links import make_link
from wardgate.audit.incidents import IncidentKind
from wardgate.audit.recorder import Recorder
from wardgate.audit.timeline import entry
from wardgate.audit.trail import chain_for
from wardgate.clock import Clock, FixedClock, to_ms
from wardgate.crypto import KeyRing, Secret
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.metrics import Metrics
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Insert, Operation, Update
from wardgate.web.access import SESSION_COOKIE
from wardgate.web.app import build_web_app
from wardgate.web.context import DemoFactor, DemoGuide, DemoUser, WebContext

NOW = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)
SERVE_ORIGIN = "https://login.acme.test"
DEMO_ORIGIN = "https://127.0.0.1:8443"

GUIDE = DemoGuide(
    radius_host="127.0.0.1",
    radius_port=1812,
    radius_secret="demo-shared-secret",
    users=(
        DemoUser("ada", "correct-horse-1", (DemoFactor("totp", secret=bytes(range(20))),)),
        DemoUser("bob", "correct-horse-2", (DemoFactor("sms", address="+905321234567"),)),
        DemoUser("carol", "correct-horse-3", (DemoFactor("email", address="carol@acme.test"),)),
        DemoUser(
            "dave",
            "correct-horse-4",
            (
                DemoFactor("totp", secret=bytes(range(20, 40))),
                DemoFactor("sms", address="+905327654321"),
                DemoFactor("email", address="dave@acme.test"),
                DemoFactor("recovery_code", codes=("7GQ4-MN2X", "B81K-0TZP", "C4VR-9HWD", "XT6Y-2JQM", "KD35-RN8A", "M0PZ-1WVE")),
            ),
        ),
        DemoUser("erin", "correct-horse-5", (DemoFactor("hotp", secret=bytes(range(40, 60))),)),
        DemoUser("frank", "correct-horse-6"),
        DemoUser("disabled", "correct-horse-7", (DemoFactor("sms", address="+905320000001"),), disabled=True),
    ),
)

Steps = Sequence[tuple[float, str, Mapping[str, object]]]
_ASKED: Steps = (
    (0.21, "Access-Request with a password", {"identifier": 41, "client_os": "Windows 11", "client_version": "6.2.4"}),
    (0.64, "user found", {"directory": "staff", "state": "active"}),
    (23.9, "password checked", {"verdict": "right"}),
    (24.4, "policy decided", {"rule": "staff", "steps": "password then totp/sms/email"}),
    (24.9, "asked for a factor", {"factor": "totp"}),
    (27.1, "replied", {"code": "access_challenge"}),
)
LET_IN: Steps = (
    (0.18, "Access-Request with a code", {"identifier": 42, "client_os": "Windows 11"}),
    (0.9, "code checked", {"verdict": "right", "factor": "totp"}),
    (3.6, "replied", {"code": "access_accept"}),
)
_WRONG_CODE: Steps = (
    (0.2, "Access-Request with a code", {"identifier": 43}),
    (0.8, "code checked", {"verdict": "code_wrong", "factor": "totp"}),
    (3.1, "replied", {"code": "access_challenge"}),
)
_WRONG_PASSWORD: Steps = (
    (0.2, "Access-Request with a password", {"identifier": 7}),
    (0.5, "user found", {"directory": "staff", "state": "active"}),
    (22.7, "password checked", {"verdict": "wrong"}),
    (302.4, "replied", {"code": "access_reject"}),
)


class Sample:
    """A context and what a test moves: its clock, its storage, its recorder."""

    def __init__(self, demo: bool = True, clock: Clock | None = None, **changes: Any) -> None:
        self.clock = clock or FixedClock(NOW)
        self.ring = KeyRing({0: Secret(b"0" * 32), 1: Secret(b"1" * 32)})
        self.storage = MemoryStorage()
        self.storage.use_chain(chain_for(self.ring, "test", 1))
        self.recorder = Recorder(self.storage, lambda: self.ring, self.clock)
        self.metrics = Metrics()
        self.problems: list[str] = []
        values: dict[str, Any] = {
            "storage": self.storage,
            "ring": lambda: self.ring,
            "clock": self.clock,
            "recorder": self.recorder,
            "metrics": self.metrics,
            "origin": DEMO_ORIGIN if demo else SERVE_ORIGIN,
            "ready": lambda: self.problems,
            "guide": GUIDE if demo else None,
        }
        self.context = WebContext(**{**values, **changes})
        self.origin = self.context.origin
        self.app = build_web_app(self.context)

    def now_ms(self) -> int:
        """The clock's present."""
        return to_ms(self.clock.now())

    def request(
        self,
        reference: str,
        ago_s: float,
        user: str,
        result: str,
        reason: str,
        steps: Steps,
        *,
        nas: str = "hq-firewall",
        application: str = "vpn",
        text: str = "",
        client: str = "203.0.113.7",
        took_ms: float | None = None,
    ) -> Insert:
        """One row of the timeline, so many seconds ago."""
        body = {
            "door": "radius",
            "nas": nas,
            "application": application,
            "user": user,
            "source": "10.0.0.1",
            "client": client,
            "result": result,
            "reason": reason,
            "text": text,
            "steps": [{"at_ms": at, "what": what, "detail": dict(detail)} for at, what, detail in steps],
            "took_ms": (steps[-1][0] + 0.1 if steps else 0.0) if took_ms is None else took_ms,
        }
        return entry(
            self.ring,
            at_ms=self.now_ms() - round(ago_s * 1000),
            reference=reference,
            transaction_id=None,
            door="radius",
            result=result,
            user=user,
            body=body,
        )

    def incident(self, kind: IncidentKind, source: str, nas: str, count: int, ago_s: float, detail: str = "") -> Insert:
        """One row of `incident`."""
        last = self.now_ms() - round(ago_s * 1000)
        row = {"kind": kind.value, "source": source, "nas": nas, "detail": json.dumps(detail), "count": count}
        return Insert("incident", {**row, "first_at": last - 3_600_000, "last_at": last})

    def message(self, number: int, channel: Channel, to: str, user: str, code: str, text: str, ago_s: float) -> list[Operation]:
        """A message in the outbox."""
        at = self.now_ms() - round(ago_s * 1000)
        return enqueue(
            self.ring,
            message_id=f"message{number:04d}",
            channel=channel,
            to=to,
            text=text,
            subject="" if channel is Channel.SMS else "Your code for vpn",
            code=code,
            user_name=user,
            subject_id=f"subject-{user}",
            application="vpn",
            transaction_id=f"transaction{number:04d}",
            reference=f"{number:04d}9QXT",
            created_at_ms=at,
            expires_at_ms=at + 180_000,
            keep=True,
        )

    async def fill(self) -> None:
        """A realistic morning."""
        await self.storage.commit([*self._logins(), *self._incidents()])
        for number, channel, to, user, code, text, ago_s in _MESSAGES:
            await self.storage.commit(self.message(number, channel, to, user, code, text, ago_s))

    def _logins(self) -> list[Insert]:
        branch = {"nas": "branch-ankara", "application": "branch-vpn"}
        refused = "The user name or password is not right. Reference {}"
        no_factor = "Your account has no second factor yet. Ask the help desk to add one. Reference M6C1YJ3N"
        wrong, sms = "The code is not right; 2 tries left.", "Enter the code sent to •••• 67."
        wrong_password = ("denied", "password_wrong", _WRONG_PASSWORD)
        return [
            self.request("7K3M9QXT", 4, "ada", "granted", "granted", LET_IN),
            self.request("7K3M9QXT", 9.4, "ada", "challenged", "code_wrong", _WRONG_CODE, text=wrong),
            self.request("7K3M9QXT", 22.6, "ada", "challenged", "challenged", _ASKED, text="Enter the code from your app."),
            self.request("0D4RV6ZE", 61, "bob", "repeated", "duplicate", _ASKED[:1], text=sms),
            self.request("0D4RV6ZE", 63, "bob", "challenged", "challenged", _ASKED, text=sms),
            self.request("P2W8T5HB", 95, "carol", *wrong_password, text=refused.format("P2W8T5HB")),
            self.request("M6C1YJ3N", 240, "frank", "denied", "no_factor", _WRONG_PASSWORD, text=no_factor),
            self.request("S9FA2K4G", 1260, "dave@acme.test", "denied", "credential_replay", _WRONG_PASSWORD[:2], **branch),
            self.request("Q8ZT0M7V", 4300, "erin", "granted", "granted", LET_IN, **branch),
            self.request("H5XN3BE1", 90000, "mallory", "denied", "user_unknown", _WRONG_PASSWORD, text=refused.format("H5XN3BE1")),
            self.request("V7JD6R2P", 90100, "", "dropped", "overloaded", LET_IN[:1]),
        ]

    def _incidents(self) -> list[Insert]:
        return [
            self.incident(IncidentKind.WRONG_SECRET, "10.20.0.1", "branch-izmir", 1204, 35),
            self.incident(IncidentKind.UNKNOWN_SOURCE, "192.0.2.44", "", 17, 610),
            self.incident(IncidentKind.MESSAGE_AUTHENTICATOR_MISSING, "10.30.0.9", "old-switch", 3, 5400),
            self.incident(IncidentKind.CHAP, "10.0.0.1", "hq-firewall", 58, 4),
        ]

    def client(self, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
        """A browser at `address` that speaks to the application without a network in between."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 50123))
        return httpx.AsyncClient(transport=transport, base_url=self.origin, **options)

    async def enter(self, browser: httpx.AsyncClient) -> str:
        """Begin a session in this browser by a one-time link; its bearer value."""
        link = await make_link(self.storage, self.ring, self.clock)
        await browser.post(f"/admin/enter/{link}", headers={"sec-fetch-site": "same-origin"})
        return browser.cookies[SESSION_COOKIE]


def sent(message_id: str) -> Update:
    """A message was handed over."""
    return Update("outbox", {"id": message_id}, {"state": "sent"})


_SMS = "482913 is your code for vpn. It works for 3 minutes. Never give it to anyone.\n@login.acme.test #482913"
_EMAIL = """905127 is your code for vpn.
It works for 3 minutes. Never give it to anyone.

If you are not signing in now, somebody else knows your password: change it.
Reference 00029QXT
"""
_MESSAGES: Sequence[tuple[int, Channel, str, str, str, str, float]] = (
    (1, Channel.SMS, "+905321234567", "bob", "482913", _SMS, 63.0),
    (2, Channel.EMAIL, "carol@acme.test", "carol", "905127", _EMAIL, 320.0),
    (3, Channel.SMS, "+905327654321", "dave", "018264", "018264 is your code for branch-vpn. It works for 3 minutes.", 1300.0),
)
