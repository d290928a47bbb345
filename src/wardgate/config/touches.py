"""What a change of the document reaches beyond itself: who uses the thing that changes."""

from collections.abc import Iterable
from dataclasses import dataclass

from wardgate.config.document import Document

_EVERY_LOGIN = "every login"


@dataclass(frozen=True, slots=True)
class Touch:
    """One changed thing, such as `policies remote-access`, and what uses it, before or after the change."""

    what: str
    realms: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    nas: tuple[str, ...] = ()
    note: str = ""


def touched(before: Document | None, after: Document, names: Iterable[str]) -> list[Touch]:
    """What is reached by changing the things of these names, which are those of `store.Changes`."""
    documents = [document for document in (before, after) if document is not None]
    return [_touch(name.partition(" (")[0], documents) for name in names]


def _touch(what: str, documents: list[Document]) -> Touch:
    section, _, name = what.partition(" ")
    if section in ("codes", "brakes", "sending", "risk"):
        return Touch(what, note=_EVERY_LOGIN)
    if section == "retention":
        return Touch(what, note="how long what was recorded is kept")
    if section == "brand":
        return Touch(what, note="how the portal's pages look")
    if section == "notices":
        return Touch(what, note="word to people of what is done to their accounts")
    if section == "realms":
        return Touch(what, realms=(name,) if name else (), note="logins of its users" if name else _EVERY_LOGIN)
    if section == "directories":
        realms = [realm.name for document in documents for realm in document.realms if name in realm.directories]
        return Touch(what, realms=_once(realms), note="" if realms else "nothing uses it")
    if section == "gateways":
        return Touch(what, note="codes and notices that go out")
    if section in ("questions", "kba"):
        return Touch(what, note="whoever sets or answers challenge questions")
    if section == "nas":
        applications = [nas.application for document in documents for nas in document.nas if nas.name == name]
        return Touch(what, applications=_once(applications), nas=(name,) if name else ())
    if section in ("policies", "applications"):
        return _through_applications(what, section, name, documents)
    return Touch(what, note="conditions that name it")


def _through_applications(what: str, section: str, name: str, documents: list[Document]) -> Touch:
    if section == "policies":
        applications = [each.name for document in documents for each in document.applications if name and each.policy == name]
    else:
        applications = [name] if name else []
    nas = [each.name for document in documents for each in document.nas if each.application in applications]
    return Touch(what, applications=_once(applications), nas=_once(nas), note="" if applications else "nothing uses it")


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
