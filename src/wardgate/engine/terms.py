"""What of its plan a login keeps beside the steps: how long things last, what is demanded at the end, what may be skipped.

A login keeps the plan that it began with, so this is stored with it, and carried by a sealed handle. Most plans say nothing of all
this: then nothing is stored and nothing is carried.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final, cast

from wardgate.engine.settings import CodeSettings
from wardgate.jsons import dumps, loads
from wardgate.policy.plan import Demand, Level, Plan
from wardgate.values import quick_value

# Who has to prove as many strong factors is an administrator.
ADMINISTRATORS_STRONG_FACTORS: Final = 2
# How long a session of an administrator lasts on our own pages, and without use, at most.
ADMINISTRATORS_SESSION_S: Final = 4 * 3600
ADMINISTRATORS_IDLE_S: Final = 15 * 60
# A login may be kept alive by resends and other factors, but no longer than this. NIST SP 800-63B: out-of-band within 10 minutes.
MAX_LOGIN_MS: Final = 600_000


@quick_value
class Terms:
    """The terms of one login, in seconds. 0: what the installation has set; None: what the door does by itself.

    `skips_unsendable`: a step that only messages could prove is left out while no gateway takes any. `hand_over_s`: for how long a
    grant leaves a proof for the request that follows it; 0: not at all. `trusted_s`: for how long the browser may be trusted from
    its grant on, if its person wishes; 0: not at all, as at every door that shows no pages. `by_link`: how a door that shows none
    has asked for what only a page can ask for: by a link that is `shown` or `sent`; empty: not at all. `enrols`: by what who has
    nothing that the plan takes may set it up on such a page: a link to a `contact` of his, or a start `code` alone; empty: not.
    """

    login_s: int = 0
    code_s: int = 0
    session_s: int | None = None
    idle_s: int | None = None
    skips_unsendable: bool = False
    hand_over_s: int = 0
    demands: tuple[Demand, ...] = ()
    actions: str = ""
    trusted_s: int = 0
    by_link: str = ""
    enrols: str = ""

    @property
    def links(self) -> bool:
        """Whether anything of the login may be done on a page that a short link leads to."""
        return bool(self.by_link or self.enrols)

    @property
    def longest_ms(self) -> int:
        """How long the login may last, whatever prolongs it."""
        return min(self.login_s * 1000, MAX_LOGIN_MS) if self.login_s else MAX_LOGIN_MS

    def codes(self, codes: CodeSettings) -> CodeSettings:
        """The settings of codes with the life that this login gives them: never beyond its own, nor beyond what NIST allows."""
        if not self.code_s and not self.login_s:
            return codes
        return _living(codes, min(self.code_s or codes.life_s, self.longest_ms // 1000))


NO_TERMS: Final = Terms()


def terms_of(plan: Plan, hand_over_s: int = 0, pages: bool = False, by_link: str = "", enrols: bool = False) -> Terms:
    """The terms of a plan. What weakens a login is not for those of whom a floor demands strong factors.

    `pages`: the door shows them, so that a browser can be trusted and the session is ours. `by_link`, `enrols`: what short
    links are for at this door. A message proves little: of whom strong factors are demanded sets nothing up without a start code.
    """
    lifetimes, is_strong = plan.lifetimes, plan.strong_factors > 0
    session_s, idle_s = lifetimes.session_s, lifetimes.idle_s
    if pages and plan.strong_factors >= ADMINISTRATORS_STRONG_FACTORS:
        session_s = min(session_s or ADMINISTRATORS_SESSION_S, ADMINISTRATORS_SESSION_S)
        idle_s = min(idle_s or ADMINISTRATORS_IDLE_S, ADMINISTRATORS_IDLE_S)
    terms = Terms(
        login_s=lifetimes.transaction_s or 0,
        code_s=lifetimes.code_s or 0,
        session_s=session_s,
        idle_s=idle_s,
        skips_unsendable=plan.fail.gateway_down == "skip" and not is_strong,
        hand_over_s=0 if is_strong else hand_over_s,
        demands=tuple(demand for demand in plan.demands if demand.level != "off"),
        actions=plan.actions if plan.demands else "",
        trusted_s=lifetimes.trusted_device_s if pages and not is_strong else 0,
        by_link=by_link,
        enrols=("code" if is_strong else "contact") if enrols else "",
    )
    return NO_TERMS if terms == NO_TERMS else terms


def dump_terms(terms: Terms) -> str:
    """As text, for a row or a handle: short, and empty for none."""
    return "" if terms is NO_TERMS else _dumped(terms)


# There are as many as plans, and each login has one of them.
@lru_cache(maxsize=256)
def _dumped(terms: Terms) -> str:
    demands = [[each.action, each.level, each.factors, each.deferrals, each.every_s, each.remind_s] for each in terms.demands]
    numbers = (terms.login_s, terms.code_s, terms.session_s, terms.idle_s, int(terms.skips_unsendable), terms.hand_over_s)
    if terms.links:
        return dumps([*numbers, demands, terms.actions, terms.trusted_s, terms.by_link, terms.enrols])
    if terms.trusted_s:
        return dumps([*numbers, demands, terms.actions, terms.trusted_s])
    return dumps([*numbers, demands, terms.actions] if demands else [*numbers])


@lru_cache(maxsize=256)
def load_terms(text: str) -> Terms:
    """The terms that `dump_terms` wrote."""
    if not text:
        return NO_TERMS
    login_s, code_s, session_s, idle_s, skips, hand_over_s, *rest = loads(text)
    demands, actions, trusted_s, by_link, enrols = (*rest, *(0, "", "")[len(rest) - 2 :]) if rest else ((), "", 0, "", "")
    return Terms(
        login_s,
        code_s,
        session_s,
        idle_s,
        bool(skips),
        hand_over_s,
        tuple(
            Demand(action, cast(Level, level), tuple(factors), deferrals, every_s, remind_s)
            for action, level, factors, deferrals, every_s, remind_s in demands
        ),
        actions,
        trusted_s,
        by_link,
        enrols,
    )


@lru_cache(maxsize=256)
def _living(codes: CodeSettings, life_s: int) -> CodeSettings:
    return replace(codes, life_s=life_s)
