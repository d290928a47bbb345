"""Pages that hand a message to an application, and those for the person when there is nobody to hand it to."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import structlog
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from wardgate.federation.arriving import NotTrusted
from wardgate.federation.door import FederationDoor
from wardgate.federation.refusals import cure_of
from wardgate.federation.saml.bindings import Form
from wardgate.texts import Text
from wardgate.web.headers import CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_HEADER

_OWN_FORMS: Final = "form-action 'self'"
MAX_TOLD_CHARS: Final = 200
# Of consumers' addresses.
MAX_KEPT_POLICIES: Final = 512

log = structlog.get_logger("wardgate.federation")


def handing_over(door: FederationDoor, request: Request, form: Form, title: str) -> Response:
    """The page whose form carries a message to an application: sent by our script, or by its button."""
    names, values = zip(*form.fields, strict=True)
    same = {"application": title, "names": names, "action": form.action}
    # The message comes first, in base64, of which no character is a mark of HTML: thousands need not be looked through for one.
    blanks = (Markup(values[0]), *values[1:])  # noqa: S704
    headers = {CONTENT_SECURITY_POLICY_HEADER: _policy(form.action)}
    return door.browser.pages.passing(request, "handing_over.html", same, blanks, headers)


def allowing(response: Response, address: str) -> Response:
    """Let the forms of this page lead to an application."""
    response.headers[CONTENT_SECURITY_POLICY_HEADER] = _policy(address)
    return response


@lru_cache(maxsize=MAX_KEPT_POLICIES)
def _policy(address: str) -> str:
    """The policy of a page whose form leads there.

    Chromium holds `form-action` against every redirect that a form leads to as well (seen with 150): an application whose consumer
    sends the browser on to another host, as AWS, Google and Salesforce do, would never be reached if its own origin alone were
    allowed. So any https address is, and plain http where the metadata says so, which it may on this machine only. Where a form
    leads is written by us, from the metadata; what would use this directive is an injected form, against which stand escaping and
    the rest of the policy.
    """
    parts = urlsplit(address)
    plain = f" {parts.scheme}://{parts.netloc}" if parts.scheme == "http" else ""
    return CONTENT_SECURITY_POLICY.replace(_OWN_FORMS, f"{_OWN_FORMS} https:{plain}")


def refused(door: FederationDoor, request: Request, why: NotTrusted, status: int = 400) -> Response:
    """A message that cannot be trusted: the person reads what he can do, the operator why it was."""
    trail = door.browser.trail(request)
    trail.result, trail.reason = "denied", "saml_refused"
    detail, issuer = why.detail[:MAX_TOLD_CHARS], why.issuer[:MAX_TOLD_CHARS]
    trail.note("a SAML message was refused", rule=why.rule, why=detail, issuer=issuer, cure=cure_of(why.rule))
    door.browser.recorder.publish(trail)
    if trail.stored:
        # Of a flood, as many as there are timelines.
        told_all = {"rule": why.rule, "why": detail, "issuer": issuer, "cure": cure_of(why.rule)}
        log.warning("saml_refused", **told_all, reference=trail.reference)
    return told(door, request, Text(why.text, {"ref": trail.reference}), status)


def told(
    door: FederationDoor, request: Request, text: Text, status: int, form: Form | None = None, application: str = ""
) -> Response:
    """A page that says what has come of it, and a reference. `form`: what its button tells the application."""
    pages = door.browser.pages
    reference = "" if "ref" in text.values else pages.recorded(request, status)
    page = pages.page(request, "federation_told.html", status, text=text, form=form, application=application, reference=reference)
    return allowing(page, form.action) if form is not None else page
