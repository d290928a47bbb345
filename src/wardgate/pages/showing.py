"""What an open question of a step looks like, and what a step looks like that is over."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from wardgate.clock import to_ms
from wardgate.factors import BY_KIND, ON_PAGES
from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
from wardgate.pages.steps import Question, Step
from wardgate.texts import Text
from wardgate.web.headers import PASSKEYS_USED, PERMISSIONS_POLICY

_HINTS: Final = ("code.ask_", "kba.ask")
_OTHER_WAYS: Final = "code.other_ways"


def shown(
    door: BrowserDoor,
    request: Request,
    browser: Browser,
    step: Step,
    template: str = "step.html",
    error: Text | None = None,
    status: int = 200,
) -> Response:
    """The page of a step as it stands. `template`: a page beside the open question; `error`: told before its own text."""
    question = step.question
    if question is not None and question.ends_at <= to_ms(door.clock.now()):
        step, question = over(step, "closed", Text("flow.expired", {"ref": step.reference})), None
    texts = question.texts if question is not None else ()
    prompt = next((text for text in texts if text.id.startswith(_HINTS)), None)
    told = [text for text in texts if text is not prompt and text.id != _OTHER_WAYS]
    asks_passkey = question is not None and question.factor in ON_PAGES and template == "step.html"
    response = door.pages.page(
        request,
        _template_of(question, template),
        status if question is not None or status != 200 else 410 if step.ended == "closed" else 409,
        posts=True,
        step=step,
        question=question,
        prompt=prompt,
        error=error or (told[0] if step.wrong and told else None),
        notice=told[0] if told and not step.wrong else None,
        masked=door.masks_answers(),
        sends=question is not None and BY_KIND[question.factor].channel is not None,
        csrf=browser.csrf(door.ring(), step.id),
    )
    if asks_passkey:
        response.headers[PERMISSIONS_POLICY] = PASSKEYS_USED
    return response


def over(step: Step, ended: str, text: Text) -> Step:
    """The step as it ends."""
    return step.changed(question=None, ended=ended, text=text)


def _template_of(question: Question | None, template: str) -> str:
    """What shows the open question; `template` may be a page beside it."""
    if question is None:
        return "ended.html"
    if template != "step.html":
        return template
    return "step_passkey.html" if question.factor in ON_PAGES else "step_questions.html" if question.questions else template
