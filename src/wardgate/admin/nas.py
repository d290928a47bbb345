"""NAS: add, change, list, show, remove. Each is an edit of the configuration document."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wardgate.admin.office import Office
from wardgate.config.document import Document
from wardgate.config.reference import ClearValue, EnvReference, FileReference, SealedValue, SecretSetting
from wardgate.config.store import edit, load_current
from wardgate.crypto import Secret, plain_secret
from wardgate.engine.settings import ApplicationSettings
from wardgate.errors import AlreadyExists, NotFound, UsageError
from wardgate.radius.settings import MessageAuthenticatorPolicy, Mode, NasSettings

GENERATED_SECRET_CHARS = 32


async def add_nas(
    office: Office,
    *,
    name: str,
    addresses: Sequence[str],
    application: str,
    secret: Secret | None = None,
    secret_env: str | None = None,
    secret_file: str | None = None,
    vendor: str = "generic",
    message_authenticator: MessageAuthenticatorPolicy = "require",
    mode: Mode = "challenge",
    separator: str = "",
    code_digits: int = 6,
    identifier: str | None = None,
    limit_proxy_state: bool = True,
    language: str | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """Add a NAS. Without any secret one is generated and returned, once. An application that does not exist is created.

    Raises AlreadyExists, SettingsError.
    """
    setting, generated = _secret(secret, secret_env, secret_file)
    nas = NasSettings(
        name=name,
        addresses=tuple(addresses),
        secret=setting,
        application=application,
        vendor=vendor,
        identifier=identifier,
        mode=mode,
        separator=separator,
        code_digits=code_digits,
        message_authenticator=message_authenticator,
        limit_proxy_state=limit_proxy_state,
        language=language,
    )
    created = False

    def change(document: Document) -> Document:
        nonlocal created
        if any(each.name.casefold() == name.casefold() for each in document.nas):
            raise AlreadyExists(f"there is a NAS {name} already; wardgate nas remove {name} ends it")
        created = all(each.name != application for each in document.applications)
        applications = (*document.applications, ApplicationSettings(name=application)) if created else document.applications
        return replace(document, nas=(*document.nas, nas), applications=applications)

    version, document = await edit(office.storage, office.ring, change, office.actor, _why(f"nas add {name}", reason), office.clock)
    stored = _find(document, name)
    result = {"version": version, "nas": describe(stored), "application_created": created}
    return result | ({"secret": generated} if generated is not None else {})


async def change_nas(
    office: Office,
    *,
    name: str,
    addresses: Sequence[str] | None = None,
    secret: Secret | None = None,
    new_secret: bool = False,
    vendor: str | None = None,
    message_authenticator: MessageAuthenticatorPolicy | None = None,
    mode: Mode | None = None,
    limit_proxy_state: bool | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """Change what is given and leave the rest. `new_secret` generates one and returns it, once.

    Raises NotFound, SettingsError, and UsageError when nothing is to be changed.
    """
    if secret is not None and new_secret:
        raise UsageError("give the secret, or have one made: not both")
    given = {
        "addresses": tuple(addresses) if addresses else None,
        "vendor": vendor,
        "message_authenticator": message_authenticator,
        "mode": mode,
        "limit_proxy_state": limit_proxy_state,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    generated: str | None = None
    if secret is not None or new_secret:
        changes["secret"], generated = _secret(secret, None, None)
    if not changes:
        raise UsageError("nothing is to be changed: name what, such as --secret-stdin")

    def change(document: Document) -> Document:
        old = _find(document, name)
        new = replace(old, **changes)
        return replace(document, nas=tuple(new if nas is old else nas for nas in document.nas))

    version, document = await edit(
        office.storage, office.ring, change, office.actor, _why(f"nas change {name}", reason), office.clock
    )
    result = {"version": version, "nas": describe(_find(document, name)), "changed": sorted(changes)}
    return result | ({"secret": generated} if generated is not None else {})


async def list_nas(office: Office) -> dict[str, Any]:
    """Every NAS, without secrets."""
    _, document = await load_current(office.storage)
    return {"nas": [describe(nas) for nas in document.nas]}


async def show_nas(office: Office, *, name: str) -> dict[str, Any]:
    """One NAS, without its secret. Raises NotFound."""
    _, document = await load_current(office.storage)
    return {"nas": describe(_find(document, name))}


async def remove_nas(office: Office, *, name: str, reason: str = "") -> dict[str, Any]:
    """Remove a NAS; its application stays. Raises NotFound."""

    def change(document: Document) -> Document:
        going = _find(document, name)
        return replace(document, nas=tuple(nas for nas in document.nas if nas is not going))

    version, _ = await edit(office.storage, office.ring, change, office.actor, _why(f"nas remove {name}", reason), office.clock)
    return {"version": version, "name": name, "removed": True}


def _why(what: str, reason: str) -> str:
    """For the history: the command, and what the operator said."""
    return f"{what}: {reason}" if reason.strip() else what


def describe(nas: NasSettings) -> dict[str, Any]:
    """A NAS as JSON values; of its secret only where it comes from."""
    return {
        "name": nas.name,
        "addresses": list(nas.addresses),
        "secret": where_from(nas.secret),
        "application": nas.application,
        "vendor": nas.vendor,
        "identifier": nas.identifier,
        "mode": nas.mode,
        "separator": nas.separator,
        "code_digits": nas.code_digits,
        "message_authenticator": nas.message_authenticator,
        "limit_proxy_state": nas.limit_proxy_state,
        "status_server": nas.status_server,
        "language": nas.language,
    }


def where_from(setting: SecretSetting | None) -> str | None:
    """Where a secret comes from, in a word that may be shown."""
    if isinstance(setting, EnvReference):
        return f"env {setting.env}"
    if isinstance(setting, FileReference):
        return f"file {setting.file}"
    return "sealed" if isinstance(setting, SealedValue) else None


def _find(document: Document, name: str) -> NasSettings:
    found = next((nas for nas in document.nas if nas.name.casefold() == name.casefold()), None)
    if found is None:
        raise NotFound(f"there is no NAS {name}; wardgate nas list shows them")
    return found


def _secret(given: Secret | None, env: str | None, file: str | None) -> tuple[SecretSetting, str | None]:
    """The setting, and the secret itself when it was made here."""
    if sum(source is not None for source in (given, env, file)) > 1:
        raise UsageError("give the secret in one way: on standard input, as an environment variable or as a file")
    if env is not None:
        return EnvReference(env=env), None
    if file is not None:
        return FileReference(file=file), None
    if given is None:
        made = plain_secret(GENERATED_SECRET_CHARS)
        return ClearValue(value=made), made
    try:
        return ClearValue(value=given.reveal().decode()), None
    except UnicodeDecodeError:
        raise UsageError("the secret is not UTF-8") from None
