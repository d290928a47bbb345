"""What doors hand to the engine."""

from wardgate.audit.timeline import Trail
from wardgate.crypto import Secret
from wardgate.engine.outcome import Origin
from wardgate.engine.transaction import Goal
from wardgate.values import quick_value

MAX_USER_NAME_CHARS = 253


@quick_value
class BeginRequest:
    """The first request of a login.

    `password` and `code` are what came along; which of them is None tells what the door collects in one request.
    `can_challenge`: the door can put a further question. `proved_elsewhere`: factors that the NAS's configuration vouches for.
    `device`: what a browser or workstation shows of what we gave it (`account.device`); never what a NAS or client says it is.
    `steps_up`: for the sake of a change; where policy asks for the password alone, something else that the person has is asked too.
    `asked`: what the application asks for beside its policy, each a choice of factors. `fresh`: no proof of before counts.
    """

    application: str
    user_name: str
    origin: Origin
    trail: Trail
    password: Secret | None
    code: Secret | None = None
    can_challenge: bool = True
    proved_elsewhere: frozenset[str] = frozenset()
    goal: Goal = Goal.LOGIN
    device: Secret | None = None
    steps_up: bool = False
    asked: tuple[tuple[str, ...], ...] = ()
    fresh: bool = False


@quick_value
class AnswerRequest:
    """An answer to a challenge. `fingerprint` identifies the whole request (packet, form post): an identical one is a resend.

    `trusts`: what the browser is to be called among the trusted ones, where its person wishes that; empty: he does not.
    """

    handle: bytes
    answer: Secret
    user_name: str
    fingerprint: bytes
    origin: Origin
    trail: Trail
    trusts: str = ""
