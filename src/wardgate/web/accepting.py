"""In which form somebody can read an error: browsers a page, programs JSON or a line of text."""

from enum import StrEnum

MAX_ACCEPT_CHARS = 500


class Form(StrEnum):
    """The forms."""

    PAGE = "page"
    JSON = "json"
    TEXT = "text"


_PAGES = frozenset(("text/html", "application/xhtml+xml"))
_ANYTHING = frozenset(("", "*/*", "text/*"))


def form_for(accept: str) -> Form:
    """The form for an Accept header (RFC 9110 section 12.5.1): a page for whoever names one, or names nothing closer."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept[:MAX_ACCEPT_CHARS].split(",")}
    if kinds & _PAGES:
        return Form.PAGE
    if "application/json" in kinds:
        return Form.JSON
    return Form.PAGE if kinds & _ANYTHING and "text/plain" not in kinds else Form.TEXT
