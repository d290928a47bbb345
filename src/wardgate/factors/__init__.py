"""Kinds of proof. Each factor is one file that satisfies `port.py` and one entry in `SECOND_FACTORS` below.

A factor never sees a transport, a NAS or a gateway: it is given what the subject holds and an answer, and says what to ask,
what to send and what a right answer claims. The password is not here: it belongs to directories, and the engine asks them.
Imports account, crypto, texts, engine settings. Begin with `port.py`.
"""

from wardgate.factors.email import EmailFactor
from wardgate.factors.hotp import HotpFactor
from wardgate.factors.passkey import PasskeyFactor
from wardgate.factors.port import MAX_ANSWER_BYTES, Factor, NeedsPage
from wardgate.factors.recovery_code import RecoveryCodeFactor
from wardgate.factors.sms import SmsFactor
from wardgate.factors.totp import TotpFactor

PASSWORD = "password"  # noqa: S105 - a factor's name

# In order of preference: strong before sent, the emergency code last. Adding a factor is one line here.
SECOND_FACTORS: tuple[Factor, ...] = (
    PasskeyFactor(),
    TotpFactor(),
    HotpFactor(),
    SmsFactor(),
    EmailFactor(),
    RecoveryCodeFactor(),
)

BY_KIND = {factor.kind: factor for factor in SECOND_FACTORS}
KINDS = (PASSWORD, *BY_KIND)
STRONG_KINDS = tuple(factor.kind for factor in SECOND_FACTORS if factor.strong)
# Those that a door without pages never asks for, and how long each one's answers may be.
ON_PAGES = frozenset(factor.kind for factor in SECOND_FACTORS if isinstance(factor, NeedsPage))
LONGEST_ANSWER = {
    factor.kind: factor.max_answer_bytes if isinstance(factor, NeedsPage) else MAX_ANSWER_BYTES for factor in SECOND_FACTORS
}
