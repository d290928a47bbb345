"""What a browser calls itself, in words that its owner recognises: `Firefox, Windows`. Hearsay, for lists only."""

from typing import Final

MAX_AGENT_CHARS: Final = 400
# Each browser names those that it descends from as well: the first of these that it names is what it is.
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def device_of(agent: str) -> str:
    """Browser and system; empty for what is neither known nor told."""
    cut = agent[:MAX_AGENT_CHARS]
    parts = [next((name for sign, name in signs if sign in cut), "") for signs in (_BROWSERS, _SYSTEMS)]
    return ", ".join(part for part in parts if part)
