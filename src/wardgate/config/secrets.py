"""Secrets of the document: resolving references, sealing what came in clear, sealing anew after a key rotation."""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from wardgate.config.document import LISTS, Document, bound_to, map_secrets, secrets_of
from wardgate.config.reference import ClearValue, EnvReference, FileReference, SealedValue, SecretSetting
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import SealError, SettingsError

MAX_SECRET_BYTES: Final = 16_384


def resolve(
    setting: SecretSetting, ring: KeyRing, place: str, path: str = "", environment: Mapping[str, str] = os.environ
) -> Secret:
    """The value that a setting stands for. `place`: see `document.bound_to`; `path`: where it stands, for messages.

    Raises SettingsError that names the setting and what is missing, never the value.
    """
    where = path or place.removeprefix("config:").replace(":", ".")
    if isinstance(setting, EnvReference):
        value = environment.get(setting.env, "").encode("utf-8", "surrogateescape")
        if not value:
            raise SettingsError(
                f"{where}: the server has no environment variable {setting.env}, or it is empty: set it and restart"
            )
    elif isinstance(setting, FileReference):
        value = _read(setting.file, where)
    elif isinstance(setting, SealedValue):
        value = _open(setting, ring, place, where)
    else:
        value = setting.value.encode()
    if not value:
        raise SettingsError(f"{where}: the secret is empty")
    if len(value) > MAX_SECRET_BYTES:
        raise SettingsError(f"{where}: the secret is longer than {MAX_SECRET_BYTES} bytes")
    return Secret(value)


def resolver(section: str, item: Any, ring: KeyRing) -> Callable[[SecretSetting], Secret]:
    """What resolves the secrets of one thing of the document, such as `resolver("gateways", settings, ring)`."""
    places = secrets_of(section, item)

    def resolve_here(setting: SecretSetting) -> Secret:
        place = next((place for place, value in places if value is setting), bound_to(section, item.name, ""))
        return resolve(setting, ring, place)

    return resolve_here


def seal_document(document: Document, ring: KeyRing, present: Document | None = None) -> Document:
    """The document with every clear value sealed to its place, and every sealed value proved to open there.

    A sealed value is bound to the name of what it belongs to: nobody can lend one NAS's secret to another by copying it.
    So a thing that is renamed needs its secret again in clear, and the error says so. A clear value that equals the one
    sealed in `present` is left as it is sealed there: applying the same file twice changes nothing.
    Raises one SettingsError that names every place that is wrong, a line each: an export of another installation has many.
    """
    problems: list[str] = []
    known = _sealed_places(present) if present is not None else {}

    def seal(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        try:
            return sealed(place, setting, path)
        except SettingsError as error:
            problems.append(error.message)
            return setting

    def sealed(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        if isinstance(setting, ClearValue):
            value = resolve(setting, ring, place, path)
            before = known.get(place)
            if before is not None and value == Secret(_open(before, ring, place, path)):
                return before
            return _sealed(ring, value.reveal(), place)
        if isinstance(setting, SealedValue):
            _open(setting, ring, place, path)
        return setting

    done = map_secrets(document, seal)
    if problems:
        raise SettingsError("\n".join(problems))
    return done


def _sealed_places(document: Document) -> dict[str, SealedValue]:
    places: dict[str, SealedValue] = {}

    def collect(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        if isinstance(setting, SealedValue):
            places[place] = setting
        return setting

    map_secrets(document, collect)
    return places


def reseal_plain(plain: Mapping[str, Any], ring: KeyRing) -> dict[str, Any] | None:
    """A stored document with every sealed value under the present data key, or None when none had to be moved.

    Works on plain values: a kept version from an earlier release may not parse any more and must still be moved. What does
    not open stays as it is; no key would open it later either.
    """
    moved = 0

    def walk(value: Any, place: str) -> Any:
        nonlocal moved
        if not isinstance(value, dict):
            return value
        if value.keys() != {"sealed"}:
            return {key: walk(inner, f"{place}.{key}" if not place.endswith(":") else place + key) for key, inner in value.items()}
        anew = _resealed(value["sealed"], ring, place)
        moved += anew is not None
        return value if anew is None else {"sealed": anew}

    changed = dict(plain)
    for section in LISTS:
        if section in plain:
            changed[section] = [walk(item, bound_to(section, str(item.get("name")), "")) for item in plain[section]]
    return changed if moved else None


def _resealed(text: object, ring: KeyRing, place: str) -> str | None:
    try:
        anew = ring.reseal(base64.b64decode(str(text), validate=True), place)
    except (SealError, binascii.Error, ValueError):
        return None
    return None if anew is None else base64.b64encode(anew).decode()


def resolve_all(document: Document, ring: KeyRing) -> list[str]:
    """What does not resolve, one message each: what `check` reports."""
    return [message for _, message in unresolved(document, ring)]


def unresolved(document: Document, ring: KeyRing) -> list[tuple[str, str]]:
    """The same, each with the section that it stands in.

    What `apply` refuses, but for directories: one whose password is not there yet is down, and keeps nobody else out.
    """
    problems: list[tuple[str, str]] = []

    def probe(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        try:
            resolve(setting, ring, place, path)
        except SettingsError as error:
            problems.append((place.split(":")[1], error.message))
        return setting

    map_secrets(document, probe)
    return problems


def _sealed(ring: KeyRing, value: bytes, place: str) -> SealedValue:
    return SealedValue(sealed=base64.b64encode(ring.seal(value, place)).decode())


def _open(setting: SealedValue, ring: KeyRing, place: str, where: str) -> bytes:
    try:
        return ring.open(_decoded(setting, where), place)
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
