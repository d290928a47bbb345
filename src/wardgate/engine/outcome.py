"""What a step of a login can come to. Doors `match` on these and translate them; nothing else leaks out of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter

from wardgate.crypto import Secret
from wardgate.factors.port import Site
from wardgate.jsons import dumps, loads
from wardgate.texts import Text
from wardgate.values import quick_value


@quick_value
class Challenge:
    """Something more has to be proved.

    `handle` (RADIUS State) is single use; `texts` are the parts of one prompt, the most important first. `preface`: what the
    policy has people told before the first question, as far as there is room beside that. `trust_s`: for how long the browser may
    be trusted once the login is granted, if the person wishes; 0: not at all. `questions`: all that the factor asks for, where it
    asks several things at once. A door that shows one prompt at a time passes over them: `texts` hold the one that is open, and the
    next comes as another challenge. A page may show them all, and send one answer for all: `factors.port.answer_to_all`.
    `not_before`: monotonic seconds before which it must not leave, where nothing is proved yet; None: at once.
    """

    handle: bytes
    factor: str
    texts: tuple[Text, ...]
    expires_in_s: int
    language: str
    reference: str
    preface: Text | None = None
    trust_s: int = 0
    questions: tuple[str, ...] = ()
    not_before: float | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """The kinds of the other factors that would do, for a door that shows them as a choice."""
        kinds = next((str(text.values["kinds"]) for text in self.texts if text.id == "code.other_ways"), "")
        return tuple(kinds.split())


@quick_value
class Granted:
    """Let in. What the application may be told about the user is here; what it is told is the door's release rules' matter.

    `group_aliases`: what else a group of `groups` is called in those rules (its DN, its SID); of all the others nothing is kept.
    `session_s`, `idle_s`: how long it may last, and without use; None: as the door has it. `texts`: what the person is told
    besides, in `language`. `device`: what a trusted device has to show from now on instead of what it showed. `own_language`: that
    of the person, where the directory tells it. `proved_at`: when what stands among `factors` and was proved before was proved, in
    milliseconds, where that is known. `phone`: his number, for applications that are told it. `mark`: that of the rules for which
    groups and attributes were read and cut down (`settings.mark_of`); by other rules nothing may be released.
    """

    subject_id: str
    user_name: str
    directory: str
    realm: str
    display_name: str
    mail: str | None
    groups: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]
    factors: tuple[str, ...]
    assurance: int
    application: str
    reference: str
    group_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    session_s: int | None = None
    idle_s: int | None = None
    language: str = "en"
    texts: tuple[Text, ...] = ()
    device: Secret | None = field(default=None, repr=False)
    own_language: str = ""
    proved_at: Mapping[str, int] = field(default_factory=dict)
    phone: str = ""
    mark: str = ""


@quick_value
class Denied:
    """Refused. `reason` is for the timeline and audit, never for the person; `text` is for the person.

    `not_before`: monotonic seconds before which the refusal must not leave, so that its time tells nothing; None: at once.
    """

    reason: str
    text: Text
    language: str
    reference: str
    not_before: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A confirmation is under way elsewhere; ask again after `poll_after_s`."""

    handle: bytes
    text: Text
    poll_after_s: float
    language: str
    reference: str


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """Everything is proved but something must be done first (enrol, change the password); `action` names it."""

    handle: bytes
    action: str
    text: Text
    language: str
    reference: str


Outcome = Challenge | Granted | Denied | Waiting | ActionRequired


@quick_value
class Origin:
    """Where a request came in. `binding` is what a handle belongs to: the configured NAS, not an address.

    `shows_pages`: the door can have something done before the login goes on, and then answers with nothing.
    `source`: the address that the packet came from. `client`: the address of the person's machine, if the NAS tells it.
    `site`: where its pages are, which is what some factors are proved on; None where it shows none, or none that could.
    """

    door: str
    binding: str
    source: str
    nas: str = ""
    nas_identifier: str = ""
    client: str | None = None
    language: str | None = None
    device: Mapping[str, str] = field(default_factory=dict)
    shows_pages: bool = False
    site: Site | None = None


_GRANTED_NAMES = tuple(each.name for each in fields(Granted))
_granted_values = attrgetter(*_GRANTED_NAMES)


def dump_outcome(outcome: Challenge | Granted | Denied | ActionRequired) -> bytes:
    """The outcome as bytes, to be kept (sealed) for an identical resend."""
    match outcome:
        case Challenge():
            body: dict[str, object] = {
                "is": "challenge",
                "handle": outcome.handle.hex(),
                "factor": outcome.factor,
                "texts": [[text.id, dict(text.values)] for text in outcome.texts],
                "expires_in_s": outcome.expires_in_s,
                "language": outcome.language,
                "reference": outcome.reference,
            }
            if outcome.preface is not None:
                body["preface"] = outcome.preface
            if outcome.trust_s:
                body["trust_s"] = outcome.trust_s
            if outcome.questions:
                body["questions"] = outcome.questions
        case Granted():
            body = {"is": "granted", **dict(zip(_GRANTED_NAMES, _granted_values(outcome), strict=True))}
            if outcome.device is not None:
                body["device"] = outcome.device.reveal().hex()
        case Denied():
            body = {
                "is": "denied",
                "reason": outcome.reason,
                "text": [outcome.text.id, dict(outcome.text.values)],
                "language": outcome.language,
                "reference": outcome.reference,
            }
        case ActionRequired():
            body = {
                "is": "action",
                "handle": outcome.handle.hex(),
                "action": outcome.action,
                "text": outcome.text,
                "language": outcome.language,
                "reference": outcome.reference,
            }
    return dumps(body).encode()


def load_outcome(stored: bytes) -> Challenge | Granted | Denied | ActionRequired:
    """The outcome that `dump_outcome` stored."""
    body = loads(stored)
    kind = body.pop("is")
    if kind == "challenge":
        return Challenge(
            handle=bytes.fromhex(body["handle"]),
            factor=body["factor"],
            texts=tuple(Text(each[0], each[1]) for each in body["texts"]),
            expires_in_s=body["expires_in_s"],
            language=body["language"],
            reference=body["reference"],
            preface=Text(**body["preface"]) if "preface" in body else None,
            trust_s=body.get("trust_s", 0),
            questions=tuple(body.get("questions", ())),
        )
    if kind == "granted":
        body["groups"] = tuple(body["groups"])
        body["factors"] = tuple(body["factors"])
        body["attributes"] = {name: tuple(values) for name, values in body["attributes"].items()}
        body["group_aliases"] = {name: tuple(aliases) for name, aliases in body.get("group_aliases", {}).items()}
        body["texts"] = tuple(Text(**text) for text in body.get("texts", ()))
        if body.get("device") is not None:
            body["device"] = Secret(bytes.fromhex(body["device"]))
        return Granted(**body)
    if kind == "action":
        handle, text = bytes.fromhex(body["handle"]), Text(**body["text"])
        return ActionRequired(handle, body["action"], text, body["language"], body["reference"])
    return Denied(body["reason"], Text(body["text"][0], body["text"][1]), body["language"], body["reference"])
