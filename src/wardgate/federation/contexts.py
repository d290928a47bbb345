"""How somebody signed in, in the words of SAML: which classes a set of proofs bears out, and what a class asks for. Pure.

An application that asks for a class is told one that it asked for and that is true, or it is told none: a class that we do not know
is never confirmed. SAML core section 3.3.2.2.1; saml-authn-context-2.0-os section 3.4.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wardgate.factors import KERBEROS, PASSWORD, USUAL_KINDS
from wardgate.federation.saml import names
from wardgate.values import quick_value

# The profile for several factors (refeds.org/profile/mfa), and the name by which Microsoft's applications ask for the same.
_SEVERAL: Final = (names.CONTEXT_REFEDS_MFA, "http://schemas.microsoft.com/claims/multipleauthn")
# Of what people prove together: an installation sees a dozen.
MAX_KEPT: Final = 256
_USER_VERIFIED: Final = "user_verified"
_TIMED: Final = "totp"
_KNOWN_BY_HEART: Final = frozenset({PASSWORD, KERBEROS})
_HELD: Final = frozenset(USUAL_KINDS)


@dataclass(frozen=True, slots=True)
class ContextClass:
    """A class that we know. `asks`: what has to be proved for it, each a choice of factors; `rank`: the more, the stronger."""

    uri: str
    rank: int
    is_true: Callable[[Collection[str]], bool]
    asks: tuple[tuple[str, ...], ...] = ()


def _is_several(proved: Collection[str]) -> bool:
    """The password and something that the person has, or a passkey that a PIN or finger unlocked.

    Factors of different kinds, as the profile says: questions are known as a password is, and an app and a phone are both held. A
    trusted device proves nothing of who sits there now.
    """
    return (not _KNOWN_BY_HEART.isdisjoint(proved) and not _HELD.isdisjoint(proved)) or _USER_VERIFIED in proved


# From the strongest: the first that is true is told where nothing was asked for.
CLASSES: Final = (
    *(ContextClass(uri, 3, _is_several, (USUAL_KINDS,)) for uri in _SEVERAL),
    ContextClass(names.CONTEXT_TIME_SYNC, 2, lambda proved: _TIMED in proved, ((_TIMED,),)),
    ContextClass(names.CONTEXT_PROTECTED_PASSWORD, 1, lambda proved: PASSWORD in proved, ((PASSWORD,),)),
    ContextClass(names.CONTEXT_PASSWORD, 1, lambda proved: PASSWORD in proved, ((PASSWORD,),)),
    ContextClass(names.CONTEXT_KERBEROS, 1, lambda proved: KERBEROS in proved, ((KERBEROS,),)),
    ContextClass(names.CONTEXT_UNSPECIFIED, 0, lambda proved: True),
)
_KNOWN: Final = {each.uri: each for each in CLASSES}


@quick_value
class Wanted:
    """What a request asks for. `classes`: in its order; `comparison`: exact, minimum, better or maximum."""

    classes: tuple[str, ...] = ()
    comparison: str = "exact"

    @property
    def is_possible(self) -> bool:
        """Whether any class that we know could be the answer."""
        return not self.classes or bool(self._acceptable())

    @property
    def asked(self) -> tuple[tuple[str, ...], ...]:
        """What has to be proved for it beside what policy asks, each a choice of factors.

        By the one that asks for least: the application says that this is enough, and policy asks for more where it wants more.
        """
        wants = [each.asks for each in self._acceptable()]
        if not wants or any(not each for each in wants):
            return ()
        if self.comparison == "exact":
            return wants[0]
        return min((each.rank, number, each.asks) for number, each in enumerate(self._acceptable()))[2]

    def told(self, proved: Collection[str]) -> str | None:
        """The class to tell for these proofs; None where none of what is asked for is true."""
        if not self.classes:
            return _strongest(tuple(proved))
        return next((each.uri for each in self._acceptable() if each.is_true(proved)), None)

    def _acceptable(self) -> Sequence[ContextClass]:
        """The classes that would be an answer, in the order in which they are told."""
        known = [_KNOWN[uri] for uri in self.classes if uri in _KNOWN]
        if not known:
            return ()
        ranks = [each.rank for each in known]
        match self.comparison:
            case "exact":
                return known
            case "minimum":
                return [each for each in CLASSES if each.rank >= min(ranks)]
            case "better":
                # Stronger than any one of them: core section 3.3.2.2.1.
                return [each for each in CLASSES if each.rank > max(ranks)]
            case "maximum":
                return [each for each in CLASSES if each.rank <= max(ranks)]
        return ()


@lru_cache(maxsize=MAX_KEPT)
def _strongest(proved: tuple[str, ...]) -> str:
    """The first that is true: what is told where nothing was asked for."""
    return next(each.uri for each in CLASSES if each.is_true(proved))


def known_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Those of them that we know, each once: nothing else of a request is worth keeping."""
    return tuple(dict.fromkeys(uri for uri in classes if uri in _KNOWN))


NOTHING_WANTED: Final = Wanted()
