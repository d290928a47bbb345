"""What somebody proves before he changes what protects his account: a strong factor, where he has one.

Else whoever has his password and his number would throw his passkey away, or set an app of his own beside it. What is asked is what
the account has, whatever a policy lets in with: a code to a phone may open a page, and changes nothing that a passkey protects.
Recovery codes are strong enough to be used for this, but nobody is asked for them who has nothing else that is strong: they are
for an emergency.
"""

from collections.abc import Collection

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.factors import ON_PAGES, SECOND_FACTORS, STRONG_KINDS
from wardgate.factors.port import Holder

_STRONG = frozenset(STRONG_KINDS)


def strong_kinds(holder: Holder, site: bool) -> tuple[str, ...]:
    """The strong factors of which he has to prove one; none where he has none. `site`: passkeys can be asked for where he is."""
    strong = [factor for factor in SECOND_FACTORS if factor.strong and (site or factor.kind not in ON_PAGES)]
    kinds = tuple(factor.kind for factor in strong if factor.enrolled(holder))
    return () if set(kinds) <= {RECOVERY_CODE} else kinds


def is_stepped_up(wanted: Collection[str], proved: Collection[str]) -> bool:
    """Whether what he proved is enough for that."""
    return not wanted or not _STRONG.isdisjoint(proved)


def with_strong_step(steps: tuple[tuple[str, ...], ...], kinds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The steps of a login that does this: the one that takes such a factor takes no other, or there is one more."""
    at = next((number for number, step in enumerate(steps) if not set(step).isdisjoint(kinds)), None)
    if at is None:
        return (*steps, kinds)
    return (*steps[:at], tuple(kind for kind in steps[at] if kind in kinds), *steps[at + 1 :])
