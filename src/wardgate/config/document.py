"""The configuration document as one typed value: parse, and write it back as YAML."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Final, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from wardgate.audit.retention import RetentionSettings
from wardgate.brand.settings import BrandSettings
from wardgate.config.checks import check
from wardgate.config.faults import Fault, from_pydantic, nearest, path_of, refuse, unknown_key
from wardgate.config.reading import Plain
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.config.sources import Joined, Source
from wardgate.delivery import registry
from wardgate.delivery.kind import GatewaySettings
from wardgate.directory import registry as directories
from wardgate.directory.kind import DirectorySettings
from wardgate.directory.settings import RealmSettings
from wardgate.engine.settings import ApplicationSettings, BrakeSettings, CodeSettings, NoticeSettings, SendingSettings
from wardgate.errors import SettingsError
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.kba.settings import MAX_QUESTIONS, KbaSettings, QuestionSettings
from wardgate.policy.settings import NetworkSettings, PolicySettings
from wardgate.radius.settings import NasSettings
from wardgate.risk.settings import RiskSettings

# How many things a list may hold: a mistake in a generated file is told instead of filling the memory.
MAX_ITEMS: Final[Mapping[str, int]] = {
    "realms": 1_000,
    "directories": 1_000,
    "gateways": 100,
    "nas": 10_000,
    "applications": 1_000,
    "networks": 1_000,
    "policies": 1_000,
    "questions": MAX_QUESTIONS,
}
# What is no list, but one thing without a name.
_SINGLE: Final[Mapping[str, type]] = {
    "codes": CodeSettings,
    "brakes": BrakeSettings,
    "sending": SendingSettings,
    "kba": KbaSettings,
    "retention": RetentionSettings,
    "risk": RiskSettings,
    "brand": BrandSettings,
    "notices": NoticeSettings,
}
SECRET_CLASSES: Final = get_args(SecretSetting)
_ADAPTER_CONFIG = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Everything that is configured but what `wardgate.toml` holds."""

    realms: tuple[RealmSettings, ...] = ()
    directories: tuple[DirectorySettings, ...] = ()
    gateways: tuple[GatewaySettings, ...] = ()
    nas: tuple[NasSettings, ...] = ()
    applications: tuple[ApplicationSettings | SamlApplicationSettings, ...] = ()
    networks: tuple[NetworkSettings, ...] = ()
    policies: tuple[PolicySettings, ...] = ()
    questions: tuple[QuestionSettings, ...] = ()
    kba: KbaSettings = field(default_factory=KbaSettings)
    codes: CodeSettings = field(default_factory=CodeSettings)
    brakes: BrakeSettings = field(default_factory=BrakeSettings)
    sending: SendingSettings = field(default_factory=SendingSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    risk: RiskSettings = field(default_factory=RiskSettings)
    brand: BrandSettings = field(default_factory=BrandSettings)
    notices: NoticeSettings = field(default_factory=NoticeSettings)


LISTS: Final = tuple(MAX_ITEMS)
SECTIONS: Final = tuple(item.name for item in fields(Document))


def parse(source: str | Mapping[str, Any]) -> Document:
    """The checked document from YAML text or plain values.

    Raises one SettingsError that lists every fault with its path, and with line and column when it came as text.
    """
    if isinstance(source, str):
        return parse_sources([Source("", source)])
    document, faults = _examined(source)
    if document is None or faults:
        raise refuse(faults, "the document")
    return document


def parse_sources(sources: Sequence[Source]) -> Document:
    """The checked document from its files: the first one, and those that it includes. Raises SettingsError as `parse` does."""
    document, faults = examine(sources)
    if document is None or faults:
        raise refuse(faults, "the document")
    return document


def examine(sources: Sequence[Source]) -> tuple[Document | None, list[Fault]]:
    """The document of these files, or None with everything that is wrong, each with its file, line and column."""
    joined = Joined(sources, SECTIONS, LISTS)
    if faults := joined.faults(()):
        # What is joined by halves would be full of names that are not there.
        return None, faults
    document, found = _examined(joined.plain)
    return (None, joined.faults(found)) if found else (document, [])


def in_their_files(sources: Sequence[Source], messages: Sequence[str]) -> list[str]:
    """Messages that begin with a path of the document, `nas[0].secret: ...`, as they stand in the files that made it."""
    parts = [message.partition(": ") for message in messages]
    return [str(fault) for fault in in_their_places(sources, [Fault(path, told) for path, _, told in parts])]


def in_their_places(sources: Sequence[Source], faults: Sequence[Fault]) -> list[Fault]:
    """What was found wrong with the document of these files later on, each with its file, line and column."""
    return Joined(sources, SECTIONS, LISTS).faults(faults)


def _examined(plain: object) -> tuple[Document | None, list[Fault]]:
    if not isinstance(plain, Mapping):
        return None, [Fault("", f"must be keys with values, such as {', '.join(SECTIONS)}")]
    faults = [unknown_key((), key, SECTIONS) for key in plain if key not in SECTIONS]
    values = {name: _section(name, plain.get(name), faults) for name in SECTIONS}
    if faults:
        return None, faults
    document = Document(**values)
    faults = check(document)
    return (None, faults) if faults else (document, [])


def checked(document: Document) -> Document:
    """`document` itself when names, references and ranges hold; raises SettingsError with every fault otherwise."""
    faults = check(document)
    if faults:
        raise refuse(faults, "the document")
    return document


def dump(document: Document) -> str:
    """The document as YAML in a stable order, without what equals its default. Refuses a secret in clear."""
    return dump_plain(to_plain(document))


def dump_plain(plain: Mapping[str, Any]) -> str:
    """Plain values of a stored document as YAML."""
    return yaml.dump(plain, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def to_plain(document: Document) -> dict[str, Any]:
    """The document as dicts, lists and scalars, for YAML or JSON: what `parse` takes back."""
    plain: dict[str, Any] = {}
    for name in SECTIONS:
        value = _plain(getattr(document, name), (name,))
        if value:
            plain[name] = value
    return plain


def map_secrets(document: Document, function: Callable[[str, SecretSetting, str], SecretSetting]) -> Document:
    """The document with every secret replaced by `function(bound_to, setting, path)`.

    `bound_to` is what a sealed value of this place is bound to; `path` is for messages.
    """
    changed: dict[str, Any] = {}
    for section in LISTS:
        items = getattr(document, section)
        changed[section] = tuple(
            _map_fields(item, bound_to(section, item.name, ""), (section, number), function) for number, item in enumerate(items)
        )
    return replace(document, **changed)


def secrets_of(section: str, item: Any) -> list[tuple[str, SecretSetting]]:
    """Every secret of one thing of the document, each with what a sealed value of its place is bound to."""
    found: list[tuple[str, SecretSetting]] = []

    def note(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        found.append((place, setting))
        return setting

    _map_fields(item, bound_to(section, item.name, ""), (), note)
    return found


def bound_to(section: str, name: str, field_name: str) -> str:
    """What seals a secret to its place: `config:nas:hq-firewall:secret`. Sections are named as in the document."""
    return f"config:{section}:{name}:{field_name}"


def _map_fields(
    item: Any, prefix: str, at: tuple[str | int, ...], function: Callable[[str, SecretSetting, str], SecretSetting]
) -> Any:
    changed: dict[str, Any] = {}
    for each in fields(item):
        value = getattr(item, each.name)
        if isinstance(value, SECRET_CLASSES):
            changed[each.name] = function(prefix + each.name, value, path_of((*at, each.name)))
        elif is_dataclass(value):
            changed[each.name] = _map_fields(value, f"{prefix}{each.name}.", (*at, each.name), function)
    return replace(item, **changed) if any(getattr(item, name) is not value for name, value in changed.items()) else item


# --- plain values to settings ----------------------------------------------------------------------------------------


def settings_classes(section: str) -> Mapping[str, type]:
    """The classes of the things in a list, by the `kind` that they are told apart by. A single class stands under ``."""
    if section == "gateways":
        # An open list: a kind of gateway is known by its entry in the registry alone.
        return {word: kind.settings for kind in registry.KINDS for word in _kind_words(kind.settings)}
    if section == "directories":
        return {word: kind.settings for kind in directories.KINDS for word in _kind_words(kind.settings)}
    return _closed_lists()[section]


@lru_cache(maxsize=1)
def _closed_lists() -> Mapping[str, Mapping[str, type]]:
    hints = get_type_hints(Document)
    return {section: _classes_of(get_args(hints[section])[0]) for section in LISTS if section not in ("directories", "gateways")}


def _classes_of(item: Any) -> Mapping[str, type]:
    classes = get_args(item) or (item,)
    if len(classes) == 1 and not _kind_words(classes[0]):
        return {"": classes[0]}
    return {word: cls for cls in classes for word in (_kind_words(cls) or get_args(get_type_hints(cls)["kind"]))}


def _kind_words(cls: type) -> tuple[str, ...]:
    """The values of a required `kind`; nothing when `kind` may be left out or does not exist."""
    required = any(item.name == "kind" and item.default is MISSING for item in fields(cls))
    return tuple(get_args(get_type_hints(cls)["kind"])) if required else ()


@lru_cache(maxsize=32)
def _usual_kind(section: str) -> str | None:
    """The kind of a thing that does not say it, where it need not."""
    kinds = (item.default for cls in settings_classes(section).values() for item in fields(cls) if item.name == "kind")
    return next((str(kind) for kind in kinds if kind is not MISSING), None)


@lru_cache(maxsize=64)
def _adapter(cls: type) -> TypeAdapter[Any]:
    # Only a type around the dataclass lets the configuration (no unknown keys, no conversions) reach the dataclass.
    around: Any = tuple.__class_getitem__((cls,))
    return TypeAdapter(around, config=_ADAPTER_CONFIG)


def _section(name: str, plain: Plain, faults: list[Fault]) -> Any:
    if name not in MAX_ITEMS:
        return _settings(_SINGLE[name], plain if plain is not None else {}, (name,), faults)
    if plain is None:
        return ()
    if not isinstance(plain, list | tuple):
        faults.append(Fault(name, "must be a list"))
        return ()
    if len(plain) > MAX_ITEMS[name]:
        faults.append(Fault(name, f"holds {len(plain)} entries, more than {MAX_ITEMS[name]}"))
        return ()
    return tuple(_item(name, item, (name, number), faults) for number, item in enumerate(plain))


def _item(section: str, plain: Plain, at: tuple[str | int, ...], faults: list[Fault]) -> Any:
    kinds = settings_classes(section)
    if "" in kinds:
        return _settings(kinds[""], plain, at, faults)
    if not isinstance(plain, Mapping):
        faults.append(Fault(path_of(at), "must be keys with values"))
        return None
    kind = plain.get("kind", _usual_kind(section))
    cls = kinds.get(kind) if isinstance(kind, str) else None
    if cls is None:
        near = nearest(kind, kinds) if isinstance(kind, str) else ""
        told = f"must be one of {', '.join(sorted(kinds))}" + (f"; {near}" if near else "")
        faults.append(Fault(path_of((*at, "kind")), told))
        return None
    return _settings(cls, plain, at, faults)


def _settings(cls: type, plain: Any, at: tuple[str | int, ...], faults: list[Fault]) -> Any:
    # By way of JSON, because pydantic's strict mode takes a list for a tuple only there.
    try:
        return _adapter(cls).validate_json(json.dumps([plain], allow_nan=False))[0]
    except ValidationError as error:
        faults.extend(from_pydantic(error, cls, at))
    except (TypeError, ValueError):
        faults.append(Fault(path_of(at), "holds something that is neither text, number, list nor keys with values"))
    return None


# --- settings to plain values ----------------------------------------------------------------------------------------


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no anchors: two equal lists are written twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_DUMPER = _Dumper


def _plain(value: Any, at: tuple[str | int, ...]) -> Any:
    if isinstance(value, ClearValue):
        raise SettingsError(f"{path_of(at)}: a secret in clear is never written; seal it first")
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name), (*at, item.name)) for item in fields(value) if _told(value, item)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, (*at, str(key))) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner, (*at, number)) for number, inner in enumerate(value)]
    return value


def _told(owner: Any, item: Any) -> bool:
    value = getattr(owner, item.name)
    if item.default is not MISSING:
        return bool(value != item.default or type(value) is not type(item.default))
    return not (item.default_factory is not MISSING and value == item.default_factory())
