"""Realms while the server runs, and which realm a typed login name belongs to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wardgate.directory.names import canonical_name
from wardgate.directory.port import Directory
from wardgate.directory.settings import RealmSettings
from wardgate.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Realm:
    """A named set of users: its settings and its directories, in the order in which they are asked."""

    settings: RealmSettings
    directories: tuple[Directory, ...]

    @property
    def name(self) -> str:
        """The configured name."""
        return self.settings.name

    def directory(self, name: str) -> Directory | None:
        """The one of its directories that is called so."""
        for each in self.directories:
            if each.name == name:
                return each
        return None


class Realms:
    """All realms, with the words before `\\` or after `@` that select each.

    Raises SettingsError unless exactly one realm is the default and no word selects two.
    """

    def __init__(self, realms: Sequence[Realm]) -> None:
        self._realms = tuple(realms)
        defaults = [realm for realm in self._realms if realm.settings.default]
        if len(defaults) != 1:
            raise SettingsError(f"realms: {len(defaults)} realms have `default: true`; mark exactly one")
        self.default = defaults[0]
        self._by_name = {realm.name: realm for realm in self._realms}
        self._by_domain: dict[str, Realm] = {}
        self._directories = {each.name: each for realm in reversed(self._realms) for each in reversed(realm.directories)}
        for realm in self._realms:
            for word in (realm.settings.name, *realm.settings.domains):
                self._claim(word, realm)

    def __iter__(self) -> Iterator[Realm]:
        return iter(self._realms)

    def called(self, name: str) -> Realm | None:
        """The realm of this configured name."""
        return self._by_name.get(name)

    def named_by(self, domain: str) -> Realm | None:
        """The realm that a typed domain selects."""
        return self._by_domain.get(canonical_name(domain) or "")

    def directory(self, name: str) -> Directory | None:
        """The directory of this name."""
        return self._directories.get(name)

    def _claim(self, word: str, realm: Realm) -> None:
        key = canonical_name(word)
        if key is None:
            raise SettingsError(f"realms: {word!r} of realm {realm.name} cannot be a domain; use 1 to 253 printable characters")
        if self._by_domain.setdefault(key, realm) is not realm:
            raise SettingsError(f"realms: {word!r} selects both {self._by_domain[key].name} and {realm.name}; keep it in one")


def parse_login_name(typed: str, realms: Realms) -> tuple[Realm, str]:
    """The realm that a typed name belongs to, and the name to look up in it: `u`, `D\\u` or `u@d`.

    A domain that selects a realm is stripped. With an unknown domain the whole string is looked up in the default realm: as
    a mail address `u@x` may be somebody's, while `X\\u` is nobody's. It must never become the default realm's `u`, who is
    another person. RADIUS gateways write `user@domain` as `domain\\user`, so operators list both forms under `domains`.
    """
    if "@" not in typed and "\\" not in typed:
        return realms.default, typed
    for domain, name in (_before_backslash(typed), _after_at(typed)):
        realm = realms.named_by(domain) if domain and name else None
        if realm is not None:
            return realm, name
    return realms.default, typed


def names_meant(typed: str, name: str) -> tuple[str, ...]:
    """What to look up of a typed name, in canonical form and in this order; the first is empty for what can be nobody's name.

    `name`: what `parse_login_name` made of it. Where that is nobody in the whole realm, `u@d` is looked up as it was typed: a
    realm's domain is mostly its mail domain too, and what stands before the @ of a mail address or of a userPrincipalName need
    be no login name. `ada.lovelace@acme.test` may be `ada`. RADIUS gateways make `acme.test\\ada.lovelace` of it.
    """
    whole = None
    if name and typed.rpartition("@")[0] == name:
        whole = canonical_name(typed)
    elif name and "@" not in name and "." in (domain := _before_backslash(typed)[0]) and typed != name:
        whole = canonical_name(f"{name}@{domain}")
    return (canonical_name(name) or "", *([whole] if whole else []))


def _before_backslash(typed: str) -> tuple[str, str]:
    domain, _, name = typed.partition("\\")
    return domain, name


def _after_at(typed: str) -> tuple[str, str]:
    name, _, domain = typed.rpartition("@")
    return domain, name
