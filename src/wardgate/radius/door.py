"""The RADIUS door: turns an Access-Request into an engine call and the outcome into reply attributes. It decides nothing."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wardgate.audit.timeline import Trail
from wardgate.crypto import Secret
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, Origin, Outcome, Waiting
from wardgate.engine.request import AnswerRequest, BeginRequest
from wardgate.factors import PASSWORD
from wardgate.radius.credentials import Credential
from wardgate.radius.nas import Nas
from wardgate.radius.packet import Attribute, Code, Packet, Type
from wardgate.radius.pap import reveal
from wardgate.radius.release import Release
from wardgate.texts import Text, render

MAX_STATE_BYTES = 253
# Shorter than a recovery code, which may happen to be letters only.
MAX_WORD_BYTES = 12
# Fewer characters of a policy's own words say nothing.
MIN_PREFACE_CHARS = 20
_CUT = "\N{HORIZONTAL ELLIPSIS}"
_SCRV1 = b"SCRV1:"
_VOUCHED = frozenset((PASSWORD,))
_NOT_VOUCHED: frozenset[str] = frozenset()


@dataclass(slots=True)
class Reply:
    """What goes back. `not_before`: monotonic seconds before which it must not leave. Nobody changes one."""

    code: Code
    attributes: list[Attribute]
    not_before: float | None = None


@dataclass(slots=True)
class OneField:
    """Password and code out of one field. `code` None: no code stood there."""

    password: Secret | None
    code: Secret | None
    can_challenge: bool


async def serve_login(
    engine: Engine,
    nas: Nas,
    packet: Packet,
    proof: Credential,
    source: tuple[str, int],
    trail: Trail,
    releases: Callable[[], Mapping[str, Release]],
) -> Reply:
    """Answer an Access-Request whose Message-Authenticator was judged. Raises PacketError for a password that cannot be one."""
    origin = origin_of(nas, packet, source)
    told = origin.client if nas.settings.trust_client_address else nas.profile.client_address(packet)
    trail.nas, trail.source, trail.client = nas.name, source[0], told or ""
    trail.client_counts = nas.settings.trust_client_address
    if origin.nas_identifier or origin.device:
        trail.note("what the NAS tells", nas_identifier=origin.nas_identifier or None, **origin.device)
    user_name = text_of(packet.first(Type.USER_NAME) or b"", nas)
    hidden = packet.first(Type.USER_PASSWORD)
    typed = _recode(reveal(hidden, packet.authenticator, nas.secret), nas) if hidden is not None else b""
    states = packet.all(Type.STATE)
    if states or proof is Credential.STATE:
        handle = states[0] if len(states) == 1 else b""
        answer = AnswerRequest(handle, Secret(typed), user_name, fingerprint(packet, source), origin, trail)
        outcome = await engine.answer(answer)
    else:
        outcome = await engine.begin(_begin_request(nas, user_name, typed, origin, trail))
    return reply_for(nas, outcome, trail, releases())


def _begin_request(nas: Nas, user_name: str, typed: bytes, origin: Origin, trail: Trail) -> BeginRequest:
    field = split_field(nas, typed)
    return BeginRequest(
        application=nas.settings.application,
        user_name=user_name,
        origin=origin,
        trail=trail,
        password=field.password,
        code=field.code,
        can_challenge=field.can_challenge,
        proved_elsewhere=_VOUCHED if nas.settings.mode == "code_only" else _NOT_VOUCHED,
    )


def split_field(nas: Nas, typed: bytes) -> OneField:
    """Read the password field by the NAS's mode. There is one reading only: a second would be a second guess for one packet."""
    settings = nas.settings
    if settings.mode == "challenge":
        return OneField(Secret(typed), None, can_challenge=True)
    if settings.mode == "code_only":
        # A blank or a word asks to be asked; anything else is the code.
        word = typed.replace(b"-", b"").strip()
        asks = not word or (word.isalpha() and len(word) <= MAX_WORD_BYTES)
        return OneField(None, None if asks else Secret(typed), can_challenge=asks)
    password, code = _openvpn(typed) or _split(typed, settings.mode, settings.separator.encode(), settings.code_digits)
    return OneField(Secret(password), Secret(code) if code is not None else None, can_challenge=False)


def _split(typed: bytes, mode: str, separator: bytes, digits: int) -> tuple[bytes, bytes | None]:
    """(password, code), split from the right when the code comes last and from the left when it comes first."""
    if mode == "password_then_code":
        if separator:
            password, found, code = typed.rpartition(separator)
            return (password, code) if found else (typed, None)
        password, code = typed[:-digits], typed[-digits:]
    else:
        if separator:
            code, found, password = typed.partition(separator)
            return (password, code) if found else (typed, None)
        password, code = typed[digits:], typed[:digits]
    return (password, code) if len(code) == digits and code.isdigit() else (typed, None)


def _openvpn(typed: bytes) -> tuple[bytes, bytes] | None:
    """OpenVPN's static challenge: `SCRV1:<base64 password>:<base64 code>` in the password field."""
    parts = typed.split(b":")
    if not typed.startswith(_SCRV1) or len(parts) != 3:
        return None
    try:
        return base64.b64decode(parts[1], validate=True), base64.b64decode(parts[2], validate=True)
    except binascii.Error:
        return None


def reply_for(nas: Nas, outcome: Outcome, trail: Trail, releases: Mapping[str, Release]) -> Reply:
    """The packet for an outcome. Only Reply-Message (and what the codec adds) goes into a Reject: RFC 2865 section 5.44."""
    match outcome:
        case Granted():
            release = releases.get(nas.name)
            if release is None:
                return _not_released(nas, outcome.reference, trail, "the NAS was taken out of the configuration meanwhile")
            release = release.of(outcome.mark)
            if release is None:
                return _not_released(nas, outcome.reference, trail, "what is released was changed in the configuration meanwhile")
            added, left_out = release.attributes(outcome)
            for why in left_out:
                trail.note("a reply attribute was left out", why=why)
            if outcome.session_s is not None or outcome.idle_s is not None:
                added += _lifetimes(outcome, added)
            added += [_message(nas, text, outcome.language, "") for text in outcome.texts]
            return Reply(Code.ACCESS_ACCEPT, added)
        case Challenge():
            text = " ".join(render(part, outcome.language) for part in _fitting(nas, outcome))
            if outcome.preface is not None:
                text = _prefaced(nas, render(outcome.preface, outcome.language), text)
            question = _question(nas, outcome.handle, nas.profile.prompt(text), outcome.expires_in_s)
            return Reply(Code.ACCESS_CHALLENGE, question, outcome.not_before)
        case Waiting():
            text = nas.profile.prompt(render(outcome.text, outcome.language))
            return Reply(Code.ACCESS_CHALLENGE, _question(nas, outcome.handle, text, None))
        case Denied():
            return Reply(Code.ACCESS_REJECT, [_message(nas, outcome.text, outcome.language, outcome.reference)], outcome.not_before)
        case ActionRequired():
            return Reply(Code.ACCESS_REJECT, [_message(nas, outcome.text, outcome.language, outcome.reference)])


def refusal_reply(nas: Nas, reference: str) -> Reply:
    """What goes back to a kind of proof that is not served."""
    text = Text("signin.failed", {"ref": reference})
    return Reply(Code.ACCESS_REJECT, [_message(nas, text, nas.settings.language or "en", reference)])


def failure_reply(nas: Nas, reference: str, not_before: float) -> Reply:
    """What goes back when we cannot decide: closed, and as late as any other refusal."""
    text = Text("down.ours", {"ref": reference})
    return Reply(Code.ACCESS_REJECT, [_message(nas, text, nas.settings.language or "en", reference)], not_before)


def _not_released(nas: Nas, reference: str, trail: Trail, why: str) -> Reply:
    """The configuration changed while the login ran, or before its last packet came again: what restricts it cannot be told.

    The grant carries the groups that the rules of then ask for, and those are not known any more. By those of now, a group that was
    left out would be one that the person is not in, and `not: {group: ...}` would give its members what they must not have.
    """
    trail.note(why)
    trail.result, trail.reason = "denied", "no_rule"
    return failure_reply(nas, reference, trail.started)


def _fitting(nas: Nas, challenge: Challenge) -> list[Text]:
    """As many parts of the prompt as the device shows whole, the most important first."""
    parts = list(challenge.texts)
    if len(parts) == 1:
        return parts
    while len(parts) > 1 and len(" ".join(render(part, challenge.language) for part in parts)) > nas.profile.max_prompt_chars:
        parts.pop()
    return parts


def _prefaced(nas: Nas, words: str, question: str) -> str:
    """The policy's words before the question, cut to what the device shows beside it: the question is what must be read."""
    chars = nas.profile.max_prompt_chars - len(question) - 1
    octets = nas.profile.max_prompt_octets - len(question.encode()) - 1
    if min(chars, octets) < MIN_PREFACE_CHARS:
        return question
    if len(words) > chars or len(words.encode()) > octets:
        # On a letter's boundary: half a letter would be none.
        kept = words[: chars - 1].encode()[: octets - len(_CUT.encode())].decode(errors="ignore")
        words = kept.rstrip() + _CUT
    return f"{words} {question}"


def _lifetimes(granted: Granted, added: Sequence[Attribute]) -> list[Attribute]:
    """How long the session may last (RFC 2865 sections 5.27 and 5.28), unless a release rule has said it."""
    wanted = ((Type.SESSION_TIMEOUT, granted.session_s), (Type.IDLE_TIMEOUT, granted.idle_s))
    said = {number for number, _ in added}
    return [(number, seconds.to_bytes(4, "big")) for number, seconds in wanted if seconds is not None and number not in said]


def _question(nas: Nas, handle: bytes, text: str, expires_in_s: int | None) -> list[Attribute]:
    attributes: list[Attribute] = [(Type.STATE, handle), (Type.REPLY_MESSAGE, text.encode())]
    if expires_in_s is not None:
        attributes.append((Type.SESSION_TIMEOUT, expires_in_s.to_bytes(4, "big")))
    if nas.profile.prompt_echo is not None:
        attributes.append((Type.PROMPT, int(nas.profile.prompt_echo).to_bytes(4, "big")))
    return attributes


def _message(nas: Nas, text: Text, language: str, reference: str) -> Attribute:
    rendered = render(text, language)
    return (Type.REPLY_MESSAGE, nas.profile.prompt(rendered.removesuffix(reference), reference).encode())


def origin_of(nas: Nas, packet: Packet, source: tuple[str, int]) -> Origin:
    """Where the request came from, as far as the NAS tells."""
    identifier = text_of(packet.first(Type.NAS_IDENTIFIER) or b"", nas)
    return Origin(
        door="radius",
        binding=nas.binding(identifier),
        source=source[0],
        nas=nas.name,
        nas_identifier=identifier,
        client=nas.profile.client_address(packet) if nas.settings.trust_client_address else None,
        language=nas.settings.language,
        device=nas.profile.client_info(packet),
    )


def fingerprint(packet: Packet, source: tuple[str, int]) -> bytes:
    """What makes a packet the same packet: source address, port and every octet of it."""
    return hashlib.blake2b(f"{source[0]} {source[1]} ".encode() + packet.raw, digest_size=32).digest()


def text_of(value: bytes, nas: Nas) -> str:
    """Text from the NAS's encoding, or as Latin-1 when it is not in it, so that nothing is lost. No NUL: no table holds one."""
    try:
        text = value.decode(nas.settings.charset)
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _recode(password: bytes, nas: Nas) -> bytes:
    """The password in UTF-8, as directories and hashes have it; byte for byte when it is not in the NAS's encoding."""
    if nas.settings.charset == "utf-8":
        return password
    try:
        return password.decode(nas.settings.charset).encode()
    except UnicodeDecodeError:
        return password
