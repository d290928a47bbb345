"""One canonical form of a login name, so that every door and table compares names alike."""

import unicodedata
from functools import lru_cache

MAX_NAME_CHARS = 253

# Control and formatting characters, lone surrogates, line and paragraph separators: they cannot be typed on purpose, and two
# names that differ only in them would look the same to an operator.
_REFUSED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


@lru_cache(maxsize=4096)
def canonical_name(typed: str) -> str | None:
    """The form in which names and mail addresses are compared, or None for what cannot be a name.

    Unicode NFC, without surrounding blanks, each letter in lower case where its lower case is one character. So the Turkish
    `İ` and `ı` stay what they are and never meet `i`: ISIK typed for `ısık` is another name, as it is in Active Directory,
    and nobody becomes somebody else by a letter. None: empty, longer than 253 characters, or with a control, formatting or
    surrogate character. Applying it twice changes nothing.
    """
    if len(typed) > MAX_NAME_CHARS:
        return None
    if typed.isascii():
        name = typed.strip(" ").lower()
        return name if name and name.isprintable() else None
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in typed):
        return None
    # Lower-casing can bring a letter and its accent to a pair that has a composed form, so NFC comes after it once more.
    name = unicodedata.normalize("NFC", "".join(map(_lower, unicodedata.normalize("NFC", typed)))).strip()
    return name if 0 < len(name) <= MAX_NAME_CHARS else None


def mail_as_name(address: str) -> str | None:
    """A mail address in the form of `canonical_name`, which is how directories compare it; None for what cannot be one."""
    key = canonical_name(address)
    return key if key is not None and "@" in key.strip("@") else None


@lru_cache(maxsize=4096)
def canonical_mail(address: str) -> str:
    """The form in which mail addresses are compared: the local part as `canonical_name` has it, the domain as `canonical_domain`.

    What cannot be compared so stays as it is, and equals nothing but itself.
    """
    local, at, domain = address.strip().rpartition("@")
    name = canonical_name(local)
    return f"{name}@{canonical_domain(domain)}" if at and name else address


@lru_cache(maxsize=4096)
def canonical_domain(domain: str) -> str:
    """A domain in one form: Unicode letters for what stands there as `xn--`, in lower case, without the dot at its end.

    Nothing is taken for something else that is registered apart (`ß` is not `ss`): this only undoes how the same is written.
    """
    plain = _folded(domain).rstrip(".")
    return _folded(".".join(map(_decoded, plain.split("."))))


def _folded(domain: str) -> str:
    """RFC 5895 section 2: without width and case, and with one kind of dot."""
    lower = unicodedata.normalize("NFKC", domain).lower()
    return unicodedata.normalize("NFKC", lower).replace("\u3002", ".")


def _decoded(label: str) -> str:
    """RFC 5890 section 2.3.2.1: an A-label is `xn--` and the Punycode of the label. One that does not decode stays as it is."""
    if not label.startswith("xn--") or not label.isascii():
        return label
    try:
        decoded = label[4:].encode().decode("punycode")
    except UnicodeError:
        return label
    return decoded if decoded.isprintable() and not decoded.isascii() else label


def _lower(char: str) -> str:
    lower = char.lower()
    return lower if len(lower) == 1 else char
