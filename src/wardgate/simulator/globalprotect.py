"""How the GlobalProtect app hears of a challenge, and what would break on the way.

Portal and gateway hand the RADIUS challenge on as a page with three assignments, each on a line of its own:

    var respStatus = "Challenge";
    var respMsg = "<Reply-Message>";
    thisForm.inputStr.value = "<hexadecimal>";

Nothing is escaped, and the app reads line by line up to the next quotation mark. So what a challenge says has to be free of line
breaks and quotes, and short enough for one line of a small window.
"""

import re
from collections.abc import Iterator

from wardgate.radius.packet import Packet, Type

MAX_CHARS = 120
_MESSAGE = re.compile(r'^var respMsg = "(?P<text>[^"]*)";$')
# U+2028 and U+2029 end a line in a script, as a line break does.
_LINE_ENDS = re.compile("[\n\r\u2028\u2029]")


def page(message: str, input_str: str) -> str:
    """What the portal sends to the app."""
    return f'var respStatus = "Challenge";\nvar respMsg = "{message}";\nthisForm.inputStr.value = "{input_str}";\n'


def shown(text: str) -> str | None:
    """What the app takes out of such a page for a challenge that says `text`; None when it finds no message at all."""
    for line in _LINE_ENDS.split(page(text, "5c8af7ee")):
        found = _MESSAGE.match(line)
        if found is not None:
            return found["text"]
    return None


def complaints(challenge: Packet) -> Iterator[str]:
    """What is wrong with an Access-Challenge for a GlobalProtect portal, in words for an operator."""
    messages = challenge.all(Type.REPLY_MESSAGE)
    if not challenge.all(Type.STATE):
        yield "the challenge has no State: the firewall cannot answer it"
    if not messages or not messages[0]:
        yield "the challenge has no Reply-Message: the app shows an empty window, and others refuse it"
        return
    if len(messages) > 1:
        yield f"the challenge has {len(messages)} Reply-Messages: only the first is shown"
    text = messages[0].decode("utf-8", "replace")
    if shown(text) != text:
        yield "the Reply-Message breaks the page of the app: no quotation mark and no line break may stand in it"
    if "\N{REPLACEMENT CHARACTER}" in text:
        yield "the Reply-Message is not UTF-8"
    if any(char in text for char in "\\<>"):
        yield "the Reply-Message holds a backslash or an angle bracket: some releases take it for markup"
    if len(text) > MAX_CHARS:
        yield f"the Reply-Message has {len(text)} characters: more than {MAX_CHARS} do not fit into the window"
