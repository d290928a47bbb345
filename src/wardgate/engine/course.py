"""The course of a login: what it still has to do after its first factor, by its plan and by what its door can ask for."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from wardgate.crypto import Secret
from wardgate.engine.by_link import ENROLLABLE
from wardgate.engine.terms import Terms, terms_of
from wardgate.factors import BY_LINK, ON_PAGES, PASSWORD
from wardgate.policy.plan import NoEntry, Plan
from wardgate.storage.port import Operation
from wardgate.texts import DEFAULT_LANGUAGE, Text, language_of
from wardgate.values import quick_value


@quick_value
class Course:
    """What a login still has to do after its first factor: of its plan, what it needs from here on.

    `fail_open`: why a step of the plan is not among the steps. `proved`: by what; without any, by what the request brought.
    `device`: what a device of the person showed, for the grant.
    """

    steps: tuple[tuple[str, ...], ...]
    rule: str
    floors: tuple[str, ...]
    terms: Terms
    text: tuple[tuple[str, str], ...] = ()
    fail_open: str = ""
    proved: tuple[str, ...] = ()
    device: str = ""


@quick_value
class Prior:
    """A proof of before that stands for factors: what it is called among them, and what uses it up with the grant.

    `device`: what a trusted one shows from now on. `handed_over`: the reference of the login that left it.
    """

    factors: tuple[str, ...]
    operations: tuple[Operation, ...]
    device: Secret | None = None
    handed_over: str = ""


# There are as many plans as rules, and each login has one of them.
@lru_cache(maxsize=256)
def course_of(plan: Plan, hand_over_s: int, pages: bool, site: bool, by_link: str = "", enrols: bool = False) -> Course:
    """What a plan demands beside the password, without what the door cannot ask for.

    `pages`: it can have things done; `site`: passkeys can be asked for where it stands; `by_link`: a link can lead to where.
    """
    steps = tuple(step for step in plan.steps if PASSWORD not in step)
    if not site:
        steps = without_pages(steps, by_link)
    return Course(steps, plan.rule, plan.floors, terms_of(plan, hand_over_s, pages, by_link, enrols), plan.text)


def without_pages(steps: tuple[tuple[str, ...], ...], by_link: str = "") -> tuple[tuple[str, ...], ...]:
    """The steps without what only a page of a site can ask for, unless a link can lead there."""
    unasked = ON_PAGES - BY_LINK.keys() if by_link else ON_PAGES
    return tuple(tuple(kind for kind in step if kind not in unasked) for step in steps)


def rest_of(course: Course, left: tuple[tuple[str, ...], ...], proved: tuple[str, ...], site: bool) -> Course:
    """The same where these steps are left, because these factors stand proved."""
    steps = left if site else without_pages(left)
    return Course(steps, course.rule, course.floors, course.terms, course.text, proved=proved)


@lru_cache(maxsize=256)
def told_steps(steps: tuple[tuple[str, ...], ...]) -> str:
    """The steps of a plan, as the timeline tells them."""
    return " then ".join(["/".join(step) for step in steps])


def led(course: Course, factors: Sequence[str]) -> Course:
    """With a last step for what must be enrolled and can be on the page of a link: it is proved in the window that waits for it."""
    kinds = tuple(kind for kind in factors if kind in ENROLLABLE and (kind not in ON_PAGES or course.terms.by_link))
    return replace(course, steps=(*course.steps, kinds)) if kinds else course


def less(course: Course, kind: str) -> Course:
    """Without the first step that this factor proves, if it proves any."""
    at = next((number for number, step in enumerate(course.steps) if kind in step), None)
    return course if at is None else replace(course, steps=course.steps[:at] + course.steps[at + 1 :])


def told(words: Sequence[tuple[str, str]], language: str) -> Text:
    """What a rule has a person told, in his language, in English, or in the one that there is."""
    by_language = dict(words)
    told = by_language.get(language_of(language)) or by_language.get(DEFAULT_LANGUAGE) or words[0][1]
    return Text("policy.told", {"words": told})


def refusal_told(decision: NoEntry, language: str, application: str, reference: str) -> Text:
    """What is told who is refused by policy: its own words, or that it is so."""
    if not decision.text:
        return Text("policy.denied", {"application": application, "ref": reference})
    return Text("policy.told_refusal", {**told(decision.text, language).values, "ref": reference})
