"""What somebody proves before he changes what protects his account: the strongest kind of factor that he has.

Else whoever has his password and his number would throw his passkey away, or set an app of his own beside it. What is asked is what
the account has, whatever a policy lets in with: a passkey before the codes of an app or device, these before a text message, that
before an e-mail. A code to a phone may open a page, and changes nothing that a passkey protects.

Recovery codes are asked for beside these, for the day when the phone is lost, and open one thing only: something new may be set up,
by which all else is confirmed then.
"""

from collections.abc import Callable, Collection

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.delivery.port import Channel
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import EngineConfiguration
from wardgate.factors import BY_KIND, ON_PAGES, SECOND_FACTORS
from wardgate.factors.port import Factor, Holder

# The strongest first: nobody coaxes the first out of anybody, and nobody on the way reads the second.
_ON_PAGES, _HELD, _SENT, _WEAKEST = range(4)


def strong_kinds(holder: Holder, site: bool) -> tuple[str, ...]:
    """The strong factors of which he has to prove one; none where he has none. `site`: passkeys can be asked for where he is."""
    strong = [factor for factor in SECOND_FACTORS if factor.strong and (site or factor.kind not in ON_PAGES)]
    return _strongest([factor for factor in strong if factor.enrolled(holder)], holder)


def confirming_kinds(
    holder: Holder, site: bool, configuration: EngineConfiguration, is_down: Callable[[Channel], bool]
) -> tuple[str, ...]:
    """What confirms a change, where he has anything beside his password. `is_down`: no gateway takes messages of this channel."""
    strong = strong_kinds(holder, site)
    if strong:
        return strong
    sent = [factor for factor in SECOND_FACTORS if factor.channel is not None and factor.enrolled(holder)]
    return _strongest([factor for factor in sent if _can_be_sent(factor, holder, configuration, is_down)], holder)


def is_stepped_up(wanted: Collection[str], proved: Collection[str]) -> bool:
    """Whether what he proved is no weaker than what he has to prove."""
    least = min((_rank(kind) for kind in wanted if kind != RECOVERY_CODE), default=None)
    return least is None or any(_rank(kind) <= least for kind in proved if kind in BY_KIND and kind != RECOVERY_CODE)


def may_add(wanted: Collection[str], proved: Collection[str]) -> bool:
    """Whether it is enough to set something up: a recovery code is."""
    return RECOVERY_CODE in proved or is_stepped_up(wanted, proved)


def with_strong_step(steps: tuple[tuple[str, ...], ...], kinds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The steps of a login that does this: the one that takes such a factor takes no other; else these come first of all."""
    best = {*kinds} - {RECOVERY_CODE}
    at = next((number for number, step in enumerate(steps) if not best.isdisjoint(step)), 0)
    return (*steps[:at], kinds, *steps[at + 1 :])


def _strongest(factors: Collection[Factor], holder: Holder) -> tuple[str, ...]:
    """Those of the strongest kind, and recovery codes for whoever cannot use any of them."""
    ranks = {factor.kind: _rank(factor.kind) for factor in factors if factor.kind != RECOVERY_CODE}
    if not ranks:
        return ()
    best = tuple(kind for kind, rank in ranks.items() if rank == min(ranks.values()))
    return (*best, RECOVERY_CODE) if BY_KIND[RECOVERY_CODE].enrolled(holder) else best


def _rank(kind: str) -> int:
    """The less, the stronger. Of what is sent, each kind stands by itself; what others may know comes last."""
    factor = BY_KIND[kind]
    if factor.strong:
        return _ON_PAGES if kind in ON_PAGES else _HELD
    return _WEAKEST if factor.channel is not Channel.SMS else _SENT


def _can_be_sent(factor: Factor, holder: Holder, configuration: EngineConfiguration, is_down: Callable[[Channel], bool]) -> bool:
    channel = factor.channel
    if channel is None or channel not in configuration.channels or is_down(channel):
        return False
    return channel is not Channel.SMS or is_allowed(holder.phone, configuration.sending)
