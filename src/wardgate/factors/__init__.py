"""Kinds of proof. Each factor is one file that satisfies `port.py` and one entry in `SECOND_FACTORS` below.

A factor never sees a transport, a NAS or a gateway: it is given what the subject holds and an answer, and says what to ask,
what to send and what a right answer claims. The password is not here: it belongs to directories, and the engine asks them.
Imports account, crypto, kba, texts, engine settings. Begin with `port.py`.
"""

from wardgate.factors.email import EmailFactor
from wardgate.factors.hotp import HotpFactor
from wardgate.factors.kba import KbaFactor
from wardgate.factors.passkey import PasskeyFactor
from wardgate.factors.port import MAX_ANSWER_BYTES, AsksByLink, Factor, NeedsPage, Questioning
from wardgate.factors.recovery_code import RecoveryCodeFactor
from wardgate.factors.sms import SmsFactor
from wardgate.factors.totp import TotpFactor

PASSWORD = "password"  # noqa: S105 - a factor's name
# A proof of before that may stand for the password: a ticket of the person's domain. It is nobody's to enrol.
KERBEROS = "kerberos"

# In order of preference: strong before sent, the emergency code and what others may know last. Adding a factor is one line here.
SECOND_FACTORS: tuple[Factor, ...] = (
    PasskeyFactor(),
    TotpFactor(),
    HotpFactor(),
    SmsFactor(),
    EmailFactor(),
    RecoveryCodeFactor(),
    KbaFactor(),
)

BY_KIND = {factor.kind: factor for factor in SECOND_FACTORS}
KINDS = (PASSWORD, *BY_KIND)
STRONG_KINDS = tuple(factor.kind for factor in SECOND_FACTORS if factor.strong)
# Those that a door without pages never asks for, those that ask several questions, and how long each one's answers may be.
BY_PAGE = {factor.kind: factor for factor in SECOND_FACTORS if isinstance(factor, NeedsPage)}
ON_PAGES = frozenset(BY_PAGE)
# Of these, those that a short link can lead to, with what is said then.
BY_LINK = {factor.kind: factor.link_text for factor in SECOND_FACTORS if isinstance(factor, AsksByLink)}
QUESTIONING = {factor.kind: factor for factor in SECOND_FACTORS if isinstance(factor, Questioning)}
# What stands beside a password where no policy says otherwise: questions are asked only where one names them.
USUAL_KINDS = tuple(kind for kind in BY_KIND if kind not in QUESTIONING)
LONGEST_ANSWER = {
    factor.kind: factor.max_answer_bytes if isinstance(factor, NeedsPage) else MAX_ANSWER_BYTES for factor in SECOND_FACTORS
} | {kind: factor.longest_answer_bytes for kind, factor in QUESTIONING.items()}
