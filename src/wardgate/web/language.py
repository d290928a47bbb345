"""Which language a page speaks, and how it writes numbers and durations."""

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from wardgate.texts import DEFAULT_LANGUAGE, LANGUAGES, Text, catalogue, render
from wardgate.web.asking import headers_named

LANGUAGE_COOKIE = "__Host-wg_lang"
LANGUAGE_LIFE_S = 365 * 24 * 3600
MAX_ACCEPT_LANGUAGE_CHARS = 200
# Browsers of one organisation send a handful.
MAX_KEPT_HEADERS = 256
_CHOICE = b"lang="
_BROWSER = "wardgate.languages"
_NOTHING: dict[str, str] = {}
_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS


def chosen(request: Request) -> str | None:
    """The language that the address asks for (`?lang=tr`), if we have it; the page then also remembers it."""
    if _CHOICE not in request.scope["query_string"]:
        return None  # messages of applications are long, and need not be taken apart for this
    wanted = request.query_params.get("lang")
    return wanted if wanted in LANGUAGES else None


def language_of_request(request: Request) -> str:
    """Explicit choice, then the remembered one, then the person's own once he is known, then the browser's."""
    choice, best = _of_browser(request)
    # From the state's own dictionary: the state raises for what was not noted.
    own: str | None = request.scope.get("state", _NOTHING).get("language")
    return choice or own or best


def wished(request: Request) -> str | None:
    """What the person chose in this browser, now or before; None: nothing."""
    return _of_browser(request)[0]


def _of_browser(request: Request) -> tuple[str | None, str]:
    """What was chosen in this browser, and what it would like best: taken once a request, for it is asked for several times."""
    known: tuple[str | None, str] | None = request.scope.get(_BROWSER)
    if known is None:
        remembered = request.cookies.get(LANGUAGE_COOKIE)
        choice = chosen(request) or (remembered if remembered in LANGUAGES else None)
        known = request.scope[_BROWSER] = (choice, accepted(next(iter(headers_named(request, b"accept-language")), "")))
    return known


def speaks(request: Request, language: str | None) -> None:
    """Have the pages that answer this request speak a person's own language, where we have it and he chose no other."""
    request.state.language = known_language(language)


def known_language(language: str | None) -> str | None:
    """Ours for a directory's word such as `tr-TR`; None where we have none."""
    short = (language or "").replace("_", "-").partition("-")[0].strip().lower()
    return short if short in LANGUAGES else None


def remember_language(response: Response, language: str) -> None:
    """Keep a choice in this browser."""
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=LANGUAGE_LIFE_S, path="/", secure=True, httponly=True, samesite="lax")


def accepted(header: str) -> str:
    """The best of our languages for an Accept-Language header (RFC 9110 section 12.5.4)."""
    return _accepted(header[:MAX_ACCEPT_LANGUAGE_CHARS])


@lru_cache(maxsize=MAX_KEPT_HEADERS)
def _accepted(header: str) -> str:
    best, best_weight = DEFAULT_LANGUAGE, 0.0
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        short = tag.strip().partition("-")[0].lower()
        weight = _weight(parameter)
        if short in LANGUAGES and weight > best_weight:
            best, best_weight = short, weight
    return best


def names() -> dict[str, str]:
    """The words by which people find their own language."""
    return {language: catalogue(language)["page.own_name"] for language in LANGUAGES}


def number(value: int, language: str) -> str:
    """A whole number with its thousands set apart."""
    grouped = f"{value:,}"
    return grouped.replace(",", ".") if language == "tr" else grouped


def duration(ms: float, language: str) -> str:
    """A duration for people: one decimal where it matters, and units that fit."""
    if ms < 10:
        return _say("ms", language, n=_decimal(f"{ms:.1f}".removesuffix(".0"), language))
    if ms < _SECOND_MS:
        return _say("ms", language, n=f"{ms:.0f}")
    if ms < _MINUTE_MS:
        return _say("s", language, n=_decimal(f"{ms / _SECOND_MS:.1f}".removesuffix(".0"), language))
    if ms < _HOUR_MS:
        minutes, rest = divmod(round(ms / _SECOND_MS), 60)
        return _say("min", language, min=minutes, s=rest)
    hours, rest = divmod(round(ms / _MINUTE_MS), 60)
    return _say("h", language, h=hours, min=rest)


def round_duration(ms: float, language: str) -> str:
    """A duration that is a whole number of its unit, as the marks of an axis are."""
    if ms >= _MINUTE_MS:
        return _say("minutes", language, n=f"{ms / _MINUTE_MS:.0f}")
    return duration(ms, language)


def _say(unit: str, language: str, **values: str | int) -> str:
    return render(Text(f"page.unit_{unit}", values), language)


def _decimal(text: str, language: str) -> str:
    return text.replace(".", ",") if language == "tr" else text


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
