"""What is wrong with a settings file, in an operator's words: path, problem, cure. Never the value, which may be a secret."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError

from wardgate.config.reference import SecretSetting
from wardgate.errors import SettingsError

MAX_FAULTS_SHOWN = 50
HOW_TO_NAME_ONE = "write one of {env: NAME}, {file: /PATH}, {value: ...} (sealed when stored) or {sealed: ...} from an export"
_SECRET_CLASSES = {cls.__name__ for cls in get_args(SecretSetting)}
_WANTED = {
    "string_type": "must be text (put it in quotes)",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be keys with values",
    "mapping_type": "must be keys with values",
    "dataclass_type": "must be keys with values",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where. `path` reads `nas[0].addresses[1]`."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def refuse(faults: Sequence[Fault], what: str) -> SettingsError:
    """One error that lists every fault, a line each."""
    lines = [str(fault) for fault in faults[:MAX_FAULTS_SHOWN]]
    if len(faults) > MAX_FAULTS_SHOWN:
        lines.append(f"and {len(faults) - MAX_FAULTS_SHOWN} more")
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return SettingsError("\n".join([f"{what} has {count}:", *lines]))


def from_pydantic(error: ValidationError, root: type, at: Sequence[str | int] = ()) -> list[Fault]:
    """The faults of one validation of `root`, whose own place in the file is `at`. The first part of each location is dropped."""
    found: dict[str, Fault] = {}
    for item in error.errors(include_url=False, include_input=False):
        location = item["loc"][1:]
        secret_at = next((n for n, part in enumerate(location) if part in _SECRET_CLASSES), None)
        if secret_at is not None:
            fault = Fault(path_of((*at, *location[:secret_at])), HOW_TO_NAME_ONE)
        elif item["type"] == "unexpected_keyword_argument":
            fault = _unknown_key((*at, *location), _class_at(root, location[:-1]))
        else:
            fault = Fault(path_of((*at, *location)), _problem(item))
        found.setdefault(f"{fault.path} {fault.problem}", fault)
    return list(found.values())


def unknown_key(at: Sequence[str | int], key: str, known: Iterable[str]) -> Fault:
    """A key that nothing reads: a typing error would otherwise pass in silence."""
    known = list(known)
    close = get_close_matches(key, known, 1)
    cure = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    return Fault(path_of((*at, key)), f"unknown key; {cure}")


def path_of(parts: Iterable[str | int]) -> str:
    """`("nas", 0, "addresses", 1)` as `nas[0].addresses[1]`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:64]}" if path else part[:64]
    return path


def _unknown_key(location: tuple[str | int, ...], owner: type | None) -> Fault:
    known = [item.name for item in fields(owner)] if owner is not None else []
    return unknown_key(location[:-1], str(location[-1]), known)


def _problem(item: Mapping[str, Any]) -> str:
    kind = str(item["type"])
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"must be {item['ctx']['expected']}"
    return _WANTED.get(kind) or str(item["msg"]).replace("Input should be", "must be")


def _class_at(root: type, location: Sequence[str | int]) -> type | None:
    """The settings class that stands at `location` inside `root`, to name its keys."""
    here: Any = root
    for part in location:
        if isinstance(part, str):
            here = next((item.type for item in fields(here) if item.name == part), None) if isinstance(here, type) else None
        here = _inner(here)
        if here is None:
            return None
    return here if isinstance(here, type) else None


def _inner(annotation: Any) -> Any:
    """The settings class inside `X`, `X | None` or `tuple[X, ...]`; None when there is none."""
    if isinstance(annotation, type) and hasattr(annotation, "__dataclass_fields__"):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if found is not None), None)
