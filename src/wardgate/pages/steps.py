"""What a browser is in the middle of, as a row at one address: `/step/{id}`.

The id is 128 random bits and opens nothing without the cookie of the browser that began it. `turn` rises with each answer: whoever
raises it first took the step, and everybody else is shown what came of it. The engine's handle and what was typed are sealed.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing, same
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Refused, Row, Storage, Update, Where
from wardgate.texts import Text

STEP_BYTES: Final = 16
# A step that has ended still says so to the second tab.
KEPT_MS: Final = 15 * 60_000
# A minute's clock step must not revive it.
LONGEST_MS: Final = 20 * 60_000
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Question:
    """The open question: what the engine asked, by which handle, and which other ways there are (kinds of factors).

    `trust_s`: for how long this browser may be trusted; 0: not at all. `questions`: those that are answered all together.
    """

    handle: bytes
    factor: str
    texts: tuple[Text, ...]
    ways: tuple[str, ...]
    ends_at: int
    trust_s: int = 0
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The state of one login in one browser. `question` None: it has ended, by `ended`, and `text` says how.

    `user_name`: as it was typed. `then`: where the browser goes once it is signed in. `wrong`: the last answer was not accepted.
    `bearer`: of the session that it began. `before`: the fingerprint of the browser under the id that it had until then. `flow`:
    the id of a self-service flow. `confirms`: the id of the session that it is about, where somebody who is signed in proves again
    that it is him, or enrols something. `secret`: of what is being enrolled. `pending`: of what is being changed, in the words of
    whoever changes it. `action`: what has to be done before the login goes on, and `handle` says to the engine that it has been
    (hexadecimal). `trusts`: what this browser is called where the person wishes it to be trusted. `offers`: what he is told after
    the grant. `proves`: the session that it is about (`confirms`) gets what is proved here, and confirms no change of the
    account by it; `counted`: what counted already when it began.
    """

    id: str
    turn: int
    application: str
    user_name: str
    reference: str
    language: str
    then: str
    question: Question | None
    ended: str = ""
    text: Text | None = None
    wrong: bool = False
    bearer: str = ""
    before: str = ""
    flow: str = ""
    confirms: str = ""
    secret: str = field(default="", repr=False)
    pending: str = field(default="", repr=False)
    action: str = ""
    handle: str = field(default="", repr=False)
    trusts: str = ""
    offers: tuple[Text, ...] = ()
    proves: bool = False
    counted: tuple[str, ...] = ()
    created_at: int = 0
    expires_at: int = 0

    def changed(self, **changes: Any) -> "Step":
        """The same step with some of it changed."""
        return replace(self, **changes)


def new_step_id() -> str:
    """An id for a step, or for a form whose POST will begin one."""
    return secrets.token_urlsafe(STEP_BYTES)


class Steps:
    """The rows."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock

    async def begin(self, browser: bytes, step: Step) -> Step:
        """Store a step under a new id."""
        stored = self._new(step, new_step_id())
        await self._storage.commit([Insert("page_step", self._row(browser, stored))])
        return stored

    async def begin_once(self, browser: bytes, step: Step, step_id: str) -> Step | None:
        """Store a step under the id that its form was given; None where the same form came before."""
        if not _ID.fullmatch(step_id):
            return None
        stored = self._new(step, step_id)
        commit = await self._storage.commit([Insert("page_step", self._row(browser, stored))])
        return None if isinstance(commit, Refused) else stored

    def _new(self, step: Step, step_id: str) -> Step:
        now_ms = to_ms(self._clock.now())
        return replace(step, id=step_id, turn=1, created_at=now_ms, expires_at=now_ms + LONGEST_MS)

    async def find(self, browser: bytes, step_id: str) -> Step | None:
        """The step of this id, if this browser began it."""
        if not _ID.fullmatch(step_id):
            return None
        mac = self._mac(step_id)
        row = await self._storage.get("page_step", {"step_mac": mac})
        if row is None:
            return None
        now_ms, created_at = to_ms(self._clock.now()), int(row["created_at"] or 0)
        if not created_at - 60_000 <= now_ms < int(row["expires_at"] or 0):
            return None
        try:
            body = loads(self._ring().open(_bytes(row["sealed"]), _bound_to(mac)))
        except SealError:
            return None
        # Under its new id, or the one that it signed in with: a form that was sent twice has that one still.
        if not same(_bytes(row["browser_mac"]), browser) and not same(bytes.fromhex(body["before"]), browser):
            return None
        question = body.pop("question")
        return Step(
            id=step_id,
            turn=int(row["turn"] or 0),
            created_at=created_at,
            expires_at=int(row["expires_at"] or 0),
            question=_question(question) if question is not None else None,
            text=_text(body.pop("text")),
            offers=tuple(Text(each[0], each[1]) for each in body.pop("offers", ())),
            counted=tuple(body.pop("counted", ())),
            **body,
        )

    async def move(self, browser: bytes, old: Step, new: Step, new_browser: bytes | None = None) -> Step | None:
        """Put the successor in the place of a step, and return it; None when another request was first.

        `new_browser`: whose it is from now on.
        """
        moved, operation = self.moving(browser, old, new, new_browser)
        return None if isinstance(await self._storage.commit([operation]), Refused) else moved

    def moving(self, browser: bytes, old: Step, new: Step, new_browser: bytes | None = None) -> tuple[Step, Operation]:
        """The same for a unit of more: the successor, and what refuses the unit when another request was first."""
        before = browser.hex() if new_browser is not None else old.before
        expires_at = min(old.expires_at, to_ms(self._clock.now()) + KEPT_MS)
        moved = replace(new, id=old.id, turn=old.turn + 1, before=before, expires_at=expires_at)
        row = self._row(new_browser or browser, moved)
        changes = {name: row[name] for name in ("browser_mac", "turn", "sealed", "expires_at")}
        where = (Where("turn", "=", old.turn), Where("browser_mac", "=", browser))
        return moved, Update("page_step", {"step_mac": row["step_mac"]}, changes, where=where)

    def _row(self, browser: bytes, step: Step) -> Row:
        mac, asked, text = self._mac(step.id), step.question, step.text
        body: dict[str, object] = {
            name: getattr(step, name)
            for name in (
                "application",
                "user_name",
                "reference",
                "language",
                "then",
                "ended",
                "wrong",
                "bearer",
                "before",
                "flow",
                "confirms",
                "secret",
                "pending",
                "action",
                "handle",
                "trusts",
                "proves",
            )
        }
        body["counted"] = list(step.counted)
        body["offers"] = [[each.id, dict(each.values)] for each in step.offers]
        body["text"] = None if text is None else [text.id, dict(text.values)]
        body["question"] = (
            None
            if asked is None
            else {
                "handle": asked.handle.hex(),
                "factor": asked.factor,
                "texts": [[each.id, dict(each.values)] for each in asked.texts],
                "ways": list(asked.ways),
                "ends_at": asked.ends_at,
                "trust_s": asked.trust_s,
                "questions": list(asked.questions),
            }
        )
        return {
            "step_mac": mac,
            "browser_mac": browser,
            "turn": step.turn,
            "sealed": self._ring().seal(dumps(body).encode(), _bound_to(mac)),
            "created_at": step.created_at,
            "expires_at": step.expires_at,
        }

    def _mac(self, step_id: str) -> bytes:
        return self._ring().mac("page-step", step_id.encode())


def _question(body: dict[str, object]) -> Question:
    texts, ways, questions = body["texts"], body["ways"], body.get("questions", ())
    return Question(
        handle=bytes.fromhex(str(body["handle"])),
        factor=str(body["factor"]),
        texts=tuple(Text(each[0], each[1]) for each in texts) if isinstance(texts, list) else (),
        ways=tuple(str(each) for each in ways) if isinstance(ways, list) else (),
        ends_at=int(str(body["ends_at"])),
        trust_s=int(str(body.get("trust_s", 0))),
        questions=tuple(str(each) for each in questions) if isinstance(questions, list) else (),
    )


def _text(stored: object) -> Text | None:
    return Text(stored[0], stored[1]) if isinstance(stored, list) else None


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _bound_to(mac: bytes) -> str:
    return f"page_step:{mac.hex()}"
