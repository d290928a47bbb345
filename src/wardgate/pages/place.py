"""Where a browser may be sent after a sign-in: our own pages, by their paths, and nothing else."""

import re
from typing import Final

MAX_PATH_CHARS: Final = 200
START: Final = "/account"
# In the address of the form: who is signed in is to sign in again.
AGAIN: Final = "again"
# One slash at the beginning and no second one: two would name another host; so would a backslash, to some browsers.
# What an application asked for waits at an address whose last part says which it is.
# Where we begin for one, its name does, which may hold any letters.
_OWN: Final = re.compile(
    r"/(?:(?:account|apps|enrol|saml/continue)(?:/[A-Za-z0-9_.-]+)*|saml/start/(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})+)"
)


def then_of(wanted: str | None) -> str:
    """The wanted path when it is one of ours, else the account page."""
    if wanted and len(wanted) <= MAX_PATH_CHARS and _OWN.fullmatch(wanted) and ".." not in wanted:
        return wanted
    return START
