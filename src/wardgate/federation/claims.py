"""What a relying party is told about a person: ordered rules, and the facts that they are filled from. Pure.

A rule takes its values from one source (a directory attribute, the mail address, the groups ...), from a template or from a
constant; `only` filters them and `mapping` replaces them. What cannot be told (too long, too many, characters that XML cannot
hold) is left out and said so. A password is no source, and no attribute that holds one can be named.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wardgate.errors import SettingsError
from wardgate.federation.saml import names
from wardgate.federation.saml.values import Attribute
from wardgate.policy.groups import group_form, looks_like_alias
from wardgate.values import quick_value

MAX_CLAIMS: Final = 100
MAX_VALUES: Final = 1_000
MAX_VALUE_CHARS: Final = 2_048
# What all values come to. A browser carries the response in a form, and some applications take 64 KiB at most, in base64.
MAX_TOTAL_CHARS: Final = 32_768

GROUPS: Final = "groups"
ATTRIBUTE: Final = "attribute."
# What attributes are called that hold a password, a hash or a key, in whichever directory: nothing of them ever leaves.
_NEVER_TOLD: Final = """
    userpassword unicodepwd dbcspwd lmpwdhistory ntpwdhistory supplementalcredentials currentvalue priorvalue initialauthincoming
    initialauthoutgoing trustauthincoming trustauthoutgoing sambantpassword sambalmpassword sambapasswordhistory ntpassword
    lmpassword krbprincipalkey krb5key krbmkey krbpwdhistory ipanthash ipatokenotpkey ms-mcs-admpwd mslaps-password
    mslaps-encryptedpassword mslaps-encryptedpasswordhistory msds-managedpassword msfve-recoverypassword msfve-keypackage
    unixuserpassword userpkcs12 olcrootpw authpassword nspassword pwdhistory password passwd password_hash
"""
_WITHHELD: Final = frozenset(_NEVER_TOLD.split())
# Characters that XML 1.0 cannot hold, section 2.2, and lone surrogates.
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")


@quick_value
class Person:
    """What is known of whom a statement is about.

    `subject`: the name that only this relying party knows him by (see `name_id`). `mail` and `phone`: from the directory, or proved
    by the person. `group_aliases`: what else a group is called (its DN, its SID). `attributes`: the directory's, by name.
    """

    subject: str
    user_name: str
    realm: str
    directory: str
    display_name: str = ""
    mail: str = ""
    phone: str = ""
    language: str = ""
    groups: tuple[str, ...] = ()
    group_aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# What a rule may take its values from, beside the groups and the directory's attributes.
SOURCES: Final[Mapping[str, Callable[[Person], str]]] = {
    "subject": lambda person: person.subject,
    "user_name": lambda person: person.user_name,
    "display_name": lambda person: person.display_name,
    "mail": lambda person: person.mail,
    "phone": lambda person: person.phone,
    "language": lambda person: person.language,
    "realm": lambda person: person.realm,
    "directory": lambda person: person.directory,
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text in which `*` stands for anything, compared without regard to case. Groups are written `directory:name`.

    Matched piece by piece from the left, so that no value keeps it busy.
    """

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Pattern":
        """The pattern that this text is."""
        return cls(tuple(group_form(text).split("*")))

    def fits(self, form: str) -> bool:
        """Whether it fits the whole of a value in its compared form."""
        first, last = self.pieces[0], self.pieces[-1]
        if len(self.pieces) == 1:
            return form == first
        if len(form) < len(first) + len(last) or not form.startswith(first) or not form.endswith(last):
            return False
        at, end = len(first), len(form) - len(last)
        for piece in self.pieces[1:-1]:
            found = form.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class Values:
    """Where values come from: exactly one of source, template and constant. `mapping`: what they are replaced by, first fit first.

    `only`: of the source's values those that fit one. `keep_unmapped`: whether what no entry of `mapping` fits stays as it is.
    `qualified`: groups are told with their directory, `acme-ad:staff`.
    """

    source: str = ""
    template: str = ""
    constant: tuple[str, ...] = ()
    only: tuple[Pattern, ...] = ()
    mapping: tuple[tuple[Pattern, str], ...] = ()
    keep_unmapped: bool = False
    qualified: bool = False

    def of(self, person: Person) -> tuple[str, ...]:
        """The values, each once, in the source's order."""
        if self.constant:
            return self.constant
        if self.template:
            filled = fill(self.template, person)
            return (filled,) if filled else ()
        if self.only or self.mapping:
            told = [value for forms, value in _with_forms(self, person) for value in self._after_rules(forms, value)]
        elif self.source in SOURCES:
            # One value as it is: what most claims are.
            value = SOURCES[self.source](person)
            return (value,) if value else ()
        else:
            told = [value for _, value in _sourced(self, person)]
        return tuple(dict.fromkeys(filter(None, told)))

    def _after_rules(self, forms: frozenset[str], value: str) -> Iterable[str]:
        if self.only and not any(pattern.fits(form) for pattern in self.only for form in forms):
            return ()
        if not self.mapping:
            return (value,)
        mapped = [text for pattern, text in self.mapping if any(pattern.fits(form) for form in forms)]
        return mapped[:1] or ((value,) if self.keep_unmapped else ())


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """One claim: what it is called there, and where its values come from."""

    name: str
    values: Values
    friendly_name: str = ""
    name_format: str = names.ATTRIBUTE_BASIC


@quick_value
class Released:
    """All claims of one statement, in the order of their rules, and what had to be left out and why."""

    claims: tuple[Attribute, ...]
    left_out: tuple[str, ...] = ()


def released(rules: Sequence[ClaimRule], person: Person, wanted: frozenset[str] | None = None) -> Released:
    """What the rules tell of a person. A claim without a value is not told at all.

    `wanted`: the names of the claims that this request asks for; None: all. It never adds one that no rule gives.
    """
    claims: list[Attribute] = []
    left_out: list[str] = []
    room = MAX_TOTAL_CHARS
    for rule in rules:
        if wanted is not None and rule.name not in wanted:
            continue
        kept: list[str] = []
        for value in rule.values.of(person):
            problem = _unfit(value, len(kept), room)
            if problem:
                left_out.append(f"{rule.name}: {problem}")
                continue
            room -= len(value)
            kept.append(value)
        if kept:
            claims.append(Attribute(rule.name, tuple(kept), rule.friendly_name, rule.name_format))
    return Released(tuple(claims), tuple(dict.fromkeys(left_out)))


def fill(template: str, person: Person) -> str:
    """The text with its places filled; empty when a place has nothing to put in."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = _first(match.group(1), person)
        missing = missing or not found
        return found

    # One pass, so that a value that itself looks like a place is not filled again.
    filled = _PLACE.sub(value, template)
    return "" if missing else filled


def places_of(template: str) -> list[str]:
    """The sources that a template names."""
    return _PLACE.findall(template)


def check_source(source: str, *, in_template: bool = False) -> None:
    """Raises SettingsError for what is no source, or for one that holds secrets."""
    if source == GROUPS:
        if in_template:
            raise SettingsError("a template takes one value, and groups are many: use source: groups")
        return
    if source.startswith(ATTRIBUTE) and len(source) > len(ATTRIBUTE):
        check_attribute(source.removeprefix(ATTRIBUTE))
        return
    if source not in SOURCES:
        known = ", ".join((*SOURCES, *(() if in_template else (GROUPS,)), f"{ATTRIBUTE}NAME"))
        raise SettingsError(f"there is no source {source[:64]!r}: write one of {known}")


def check_template(template: str) -> None:
    """Raises SettingsError for a template with a place that nothing fills, or with none."""
    places = places_of(template)
    rest = _PLACE.sub("", template)
    if "{" in rest or "}" in rest:
        raise SettingsError("every { needs its }, with one source between them")
    if not places:
        raise SettingsError("a template has at least one place, such as {user_name}: write constant: for fixed text")
    for place in places:
        check_source(place, in_template=True)


def check_attribute(name: str) -> None:
    """Raises SettingsError for an attribute that holds a password, a hash or a key: no setting may let it out."""
    # With options (`userPassword;lang-en`) it is the same attribute: RFC 4512 section 2.5.
    plain = name.partition(";")[0].strip().lower()
    if plain in _WITHHELD:
        raise SettingsError(f"{name[:64]!r} holds a secret, and no application is ever told one: take it out")


def is_xml_text(value: str) -> bool:
    """Whether XML 1.0 can hold every character."""
    return _NO_XML.search(value) is None


def _unfit(value: str, so_far: int, room: int) -> str:
    if not is_xml_text(value):
        return "a value holds characters that XML cannot hold"
    if len(value) > MAX_VALUE_CHARS:
        return f"a value is longer than {MAX_VALUE_CHARS} characters"
    if so_far >= MAX_VALUES:
        return f"more than {MAX_VALUES} values"
    if len(value) > room:
        return f"all values together are longer than {MAX_TOTAL_CHARS} characters"
    return ""


def _with_forms(rule: Values, person: Person) -> Iterable[tuple[frozenset[str], str]]:
    """The source's values, each with the forms by which `only` and `mapping` know it."""
    is_of_groups = rule.source == GROUPS
    for held, value in _sourced(rule, person):
        yield _group_forms(person, held) if is_of_groups else frozenset((group_form(held),)), value


def _sourced(rule: Values, person: Person) -> Sequence[tuple[str, str]]:
    """The source's values, each as it is held and as it is told."""
    if rule.source != GROUPS:
        return [(value, value) for value in _all(rule.source, person)]
    return [(group, f"{person.directory}:{group}" if rule.qualified else group) for group in person.groups]


def _group_forms(person: Person, group: str) -> frozenset[str]:
    """Every name of a group as conditions know it: `directory:name` and `realm:name`, by name, DN and SID."""
    others = tuple(person.group_aliases.get(group, ()))
    # Who may call a group by the DN of another must not be in that one (see `policy.groups`).
    names = others if others and looks_like_alias(group) else (group, *others)
    return frozenset(group_form(f"{place}:{name}") for place in (person.directory, person.realm) for name in names)


def _all(source: str, person: Person) -> tuple[str, ...]:
    if source.startswith(ATTRIBUTE):
        wanted = source.removeprefix(ATTRIBUTE).lower()
        return next((values for held, values in person.attributes.items() if held.lower() == wanted), ())
    value = SOURCES[source](person)
    return (value,) if value else ()


def _first(source: str, person: Person) -> str:
    return next(iter(_all(source, person)), "")
