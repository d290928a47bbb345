"""Secrets of the document: resolving references, sealing what came in clear, sealing anew after a key rotation."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wardgate.config.document import Document, map_secrets
from wardgate.config.reference import ClearValue, EnvReference, FileReference, SealedValue, SecretSetting
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import SealError, SettingsError

MAX_SECRET_BYTES: Final = 16_384


def resolve(
    setting: SecretSetting, ring: KeyRing, bound_to: str, path: str = "", environment: Mapping[str, str] = os.environ
) -> Secret:
    """The value that a setting stands for. `bound_to`: see `document.bound_to`; `path`: where it stands, for messages.

    Raises SettingsError that names the setting and what is missing, never the value.
    """
    where = path or bound_to.removeprefix("config:").replace(":", ".")
    if isinstance(setting, EnvReference):
        value = environment.get(setting.env, "").encode("utf-8", "surrogateescape")
        if not value:
            raise SettingsError(
                f"{where}: the server has no environment variable {setting.env}, or it is empty: set it and restart"
            )
    elif isinstance(setting, FileReference):
        value = _read(setting.file, where)
    elif isinstance(setting, SealedValue):
        value = _open(setting, ring, bound_to, where)
    else:
        value = setting.value.encode()
    if not value:
        raise SettingsError(f"{where}: the secret is empty")
    if len(value) > MAX_SECRET_BYTES:
        raise SettingsError(f"{where}: the secret is longer than {MAX_SECRET_BYTES} bytes")
    return Secret(value)


def seal_document(document: Document, ring: KeyRing, present: Document | None = None) -> Document:
    """The document with every clear value sealed to its place, and every sealed value proved to open there.

    A sealed value is bound to the name of what it belongs to: nobody can lend one NAS's secret to another by copying it.
    So a thing that is renamed needs its secret again in clear, and the error says so. A clear value that equals the one
    sealed in `present` is left as it is sealed there: applying the same file twice changes nothing.
    """
    known = _sealed_places(present) if present is not None else {}

    def seal(bound_to: str, setting: SecretSetting, path: str) -> SecretSetting:
        if isinstance(setting, ClearValue):
            value = resolve(setting, ring, bound_to, path)
            before = known.get(bound_to)
            if before is not None and value == Secret(_open(before, ring, bound_to, path)):
                return before
            return _sealed(ring, value.reveal(), bound_to)
        if isinstance(setting, SealedValue):
            _open(setting, ring, bound_to, path)
        return setting

    return map_secrets(document, seal)


def _sealed_places(document: Document) -> dict[str, SealedValue]:
    places: dict[str, SealedValue] = {}

    def collect(bound_to: str, setting: SecretSetting, path: str) -> SecretSetting:
        if isinstance(setting, SealedValue):
            places[bound_to] = setting
        return setting

    map_secrets(document, collect)
    return places


def reseal_document(document: Document, ring: KeyRing) -> Document:
    """The document with every sealed value under the present data key; the very same object when all of them are."""

    def reseal(bound_to: str, setting: SecretSetting, path: str) -> SecretSetting:
        if not isinstance(setting, SealedValue):
            return setting
        anew = ring.reseal(_decoded(setting, path), bound_to)
        return setting if anew is None else SealedValue(sealed=base64.b64encode(anew).decode())

    changed = map_secrets(document, reseal)
    return document if changed == document else changed


def resolve_all(document: Document, ring: KeyRing) -> list[str]:
    """What does not resolve, one message each: what `apply` refuses and `check` reports."""
    problems: list[str] = []

    def probe(bound_to: str, setting: SecretSetting, path: str) -> SecretSetting:
        try:
            resolve(setting, ring, bound_to, path)
        except SettingsError as error:
            problems.append(error.message)
        return setting

    map_secrets(document, probe)
    return problems


def _sealed(ring: KeyRing, value: bytes, bound_to: str) -> SealedValue:
    return SealedValue(sealed=base64.b64encode(ring.seal(value, bound_to)).decode())


def _open(setting: SealedValue, ring: KeyRing, bound_to: str, where: str) -> bytes:
    try:
        return ring.open(_decoded(setting, where), bound_to)
    except SealError as error:
        raise SettingsError(
            f"{where}: the sealed value does not open here: it was sealed by another installation or under another name. "
            "Write the secret again as {value: ...}, {env: NAME} or {file: /PATH}"
        ) from error


def _decoded(setting: SealedValue, where: str) -> bytes:
    try:
        return base64.b64decode(setting.sealed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"{where}: the sealed value is damaged") from error


def _read(name: str, where: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            value = file.read(MAX_SECRET_BYTES + 3)
    except OSError as error:
        raise SettingsError(f"{where}: the server cannot read {name}: {error.strerror or 'unknown reason'}") from error
    return value.removesuffix(b"\n").removesuffix(b"\r")
