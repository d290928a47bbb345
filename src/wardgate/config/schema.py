"""The JSON Schema of the document, made from the settings classes: their fields, help, defaults, ranges and limits.

It knows what stands by itself: keys, types, choices, numbers. What hangs together (names that refer to each other, addresses that
collide, policies that contradict themselves) only `wardgate config validate` finds.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from wardgate.config.checks import LIST_LIMITS, MAX_NAME_CHARS, RANGES
from wardgate.config.document import LISTS, MAX_ITEMS, SECRET_CLASSES, Document, settings_classes
from wardgate.config.includes import MAX_PATTERNS
from wardgate.config.sources import INCLUDE

Schema = dict[str, Any]

_PLAIN_TYPES: Final[Mapping[object, str]] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_COMMON_HELP: Final = {"name": "what it is called; unique in its list", "kind": "which kind it is"}


def schema_of_document() -> Schema:
    """The schema, draft 2020-12."""
    definitions: dict[str, Schema] = {}
    hints = get_type_hints(Document)
    sections = {
        each.name: _list(each.name, definitions) if each.name in LISTS else _or_null(_of(hints[each.name], definitions))
        for each in fields(Document)
    }
    include = {
        "description": "other files of the document, below its directory; their lists are joined to those here",
        "type": ["array", "null"],
        "items": {"type": "string"},
        "maxItems": MAX_PATTERNS,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wardgate configuration document",
        "type": "object",
        "properties": {INCLUDE: include, **sections},
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _list(section: str, definitions: dict[str, Schema]) -> Schema:
    """One list of the document. Things of several kinds are told apart by their `kind`."""
    classes = list(dict.fromkeys(settings_classes(section).values()))
    items = [_of(cls, definitions) for cls in classes]
    for cls in classes:
        definitions[cls.__name__]["properties"]["name"] |= {"minLength": 1, "maxLength": MAX_NAME_CHARS}
    item = items[0] if len(items) == 1 else {"oneOf": items}
    return {"type": ["array", "null"], "items": item, "maxItems": MAX_ITEMS[section]}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _of(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of one type."""
    if annotation in _PLAIN_TYPES:
        return {"type": _PLAIN_TYPES[annotation]}
    if annotation in (object, Any):
        return {}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _settings(annotation, definitions)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {"enum": [each.value for each in annotation]}
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return {"type": "array", "items": _of(inner[0], definitions)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(inner[1], definitions) or True}
    if not inner:
        raise TypeError(f"a setting of type {annotation!r} has no schema yet")
    return _either(inner, definitions)


def _either(choices: tuple[Any, ...], definitions: dict[str, Schema]) -> Schema:
    """One of several types; the ways to name a secret stand in one place."""
    rest = [each for each in choices if each not in SECRET_CLASSES]
    found = [_of(each, definitions) for each in rest]
    if len(rest) < len(choices):
        definitions["Secret"] = {
            "description": "a secret: {env: NAME} or {file: /PATH} of the server, or {value: ...}, which is sealed when stored",
            "oneOf": [_of(each, definitions) for each in SECRET_CLASSES],
        }
        found.insert(0, {"$ref": "#/$defs/Secret"})
    return found[0] if len(found) == 1 else {"anyOf": found}


def _settings(cls: type, definitions: dict[str, Schema]) -> Schema:
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}
        hints = get_type_hints(cls)
        needed = [each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING]
        definitions[name] = {
            "description": " ".join((cls.__doc__ or "").partition("\n\n")[0].split()),
            "type": "object",
            "properties": {each.name: _field(cls, each, hints[each.name], definitions) for each in fields(cls)},
            **({"required": needed} if needed else {}),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _field(cls: type, each: "Field[Any]", annotation: Any, definitions: dict[str, Schema]) -> Schema:
    unit = each.metadata.get("unit")
    told = str(each.metadata.get("help", _COMMON_HELP.get(each.name, ""))) + (f" ({unit})" if unit else "")
    schema = _of(annotation, definitions)
    limits = RANGES.get((cls, each.name))
    if limits is not None:
        schema = _within(schema, limits)
    if schema.get("type") == "array" and each.name in LIST_LIMITS:
        schema["maxItems"] = LIST_LIMITS[each.name]
    return {**({"description": told} if told else {}), **schema, **_default(each)}


def _within(schema: Schema, limits: tuple[float, float]) -> Schema:
    """The schema of a number, or of a list of them, held to a range."""
    if "items" in schema:
        return {**schema, "items": _within(schema["items"], limits)}
    return {**schema, "minimum": limits[0], "maximum": limits[1]}


def _default(each: "Field[Any]") -> Schema:
    """A default that can be written down. What is made of settings tells its own."""
    value = each.default if each.default is not MISSING else None
    if isinstance(value, tuple):
        return {"default": list(value)} if all(isinstance(inner, str | int | float) for inner in value) else {}
    return {"default": value} if isinstance(value, str | int | float) and not isinstance(value, Enum) else {}
