"""How a kind of directory is listed: the settings it takes, how they are checked, and how a directory is built from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from wardgate.clock import Clock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.port import Directory
from wardgate.errors import SettingsError
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Storage

S = TypeVar("S")


class DirectorySettings(Protocol):
    """What the settings of every kind have. Each kind's are a frozen dataclass with `kind: Literal["its name"]`.

    A field of type `SecretSetting`, in it or in a dataclass inside it (not in a list), is a secret: it is sealed when stored and
    exported as sealed, without being named anywhere else.
    """

    @property
    def name(self) -> str:
        """What the directory is called."""
        ...

    @property
    def kind(self) -> str:
        """Which kind it is."""
        ...


@dataclass(frozen=True, slots=True)
class DirectoryParts:
    """What a directory is built with.

    `secret` gives the value of a setting, each time anew: a file that holds a password may be replaced while we serve. It raises
    SettingsError when it cannot be had now, which a directory tells as DirectoryUnavailable: one unreadable file must not keep the
    others' users out. `region`: of the first realm that asks the directory; for its phone numbers.
    `realm_words`: names and domains of the realms that ask it, which make no password.
    """

    storage: Storage
    hasher: PasswordHasher
    clock: Clock
    secret: Callable[[SecretSetting], Secret]
    region: str | None = None
    realm_words: tuple[str, ...] = ()


def unique_ids(settings: object) -> None:
    """Ids that are given once in the world mean the same person whatever the settings are."""


@dataclass(frozen=True, slots=True)
class DirectoryKind(Generic[S]):
    """One kind. `check` raises SettingsError and touches neither network nor files; `build` opens no connection yet.

    `numbering`: what of the settings decides whom an immutable id means. Where that is another, an id may be another person's, who
    must not inherit what hangs on it. None: ids of this directory are given once in the world, such as an objectGUID.
    """

    settings: type[S]
    check: Callable[[S], None]
    build: Callable[[S, DirectoryParts], Directory]
    numbering: Callable[[S], tuple[object, ...] | None] = unique_ids


def setting_error(directory: str, setting: str, problem: str) -> SettingsError:
    """An error that names the setting by its path in the configuration document."""
    return SettingsError(f"directories.{directory}.{setting}: {problem}")
