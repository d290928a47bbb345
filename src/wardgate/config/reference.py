"""How the document names a secret: a reference that the server resolves, or a value sealed with the installation's keys."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvReference:
    """The value of an environment variable of the server."""

    env: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """The content of a file that the server can read, without the line end."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """A value sealed by this installation (base64). This is what an export shows and what is stored."""

    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearValue:
    """A value in clear, only on the way in: storing the document seals it. Never stored, never exported."""

    value: str

    def __repr__(self) -> str:
        return "ClearValue(...)"


SecretSetting = EnvReference | FileReference | SealedValue | ClearValue
