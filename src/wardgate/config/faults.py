"""What is wrong with a settings file, in an operator's words: path, problem, cure. Never the value, which may be a secret."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from wardgate.config.reference import SecretSetting
from wardgate.errors import SettingsError

MAX_FAULTS_SHOWN = 50
# How much of an unknown word is compared with known ones: the work grows with its length.
MAX_WORD_CHARS = 128
HOW_TO_NAME_ONE = "write one of {env: NAME}, {file: /PATH}, {value: ...} (sealed when stored) or {sealed: ...} from an export"
_SECRET_CLASSES = {cls.__name__ for cls in get_args(SecretSetting)}
_CHOICES = ("str", "int")
_LISTS = ("tuple[str, ...]",)
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
    """One thing that is wrong, and where. `path` reads `nas[0].addresses[1]`.

    `other`: a second place that the problem ends with. `file`, `line` and `column` (from 1) are known when it came from a text;
    an editor jumps to `wardgate.yaml:3:7:`.
    """

    path: str
    problem: str
    other: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def told(self) -> str:
        """The problem with the second place that it speaks of."""
        return f"{self.problem} {self.other}" if self.other else self.problem

    def __str__(self) -> str:
        return place_of(self.file, self.line, self.column) + (f"{self.path}: {self.told}" if self.path else self.told)


def place_of(file: str, line: int, column: int) -> str:
    """The beginning of a message: where in which file."""
    if not line:
        return f"{file}: " if file else ""
    return f"{file}:{line}:{column}: " if file else f"line {line}, column {column}: "


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
    choices = _choices_of(root)
    for item in error.errors(include_url=False, include_input=False):
        location = _without_choices(item["loc"][1:], str(item["type"]), choices)
        secret_at = next((n for n, part in enumerate(location) if part in _SECRET_CLASSES), None)
        if secret_at is not None:
            fault = Fault(path_of((*at, *location[:secret_at])), HOW_TO_NAME_ONE)
        elif item["type"] == "unexpected_keyword_argument":
            fault = _unknown_key((*at, *location), _class_at(root, location[:-1]))
        else:
            fault = Fault(path_of((*at, *location)), _problem(item))
        found.setdefault(f"{fault.path} {fault.problem}", fault)
    return _told_once(list(found.values()))


def _told_once(faults: list[Fault]) -> list[Fault]:
    """For a setting that takes a text or keys, one fault: what is wrong inside it, or that it is neither."""
    no_text = {fault.path for fault in faults if fault.problem == _WANTED["string_type"]}
    no_keys = {fault.path for fault in faults if fault.problem == _WANTED["dataclass_type"]}
    inside = [fault.path for fault in faults]
    told = []
    for fault in faults:
        if fault.path in no_text & no_keys:
            if fault.problem == _WANTED["string_type"]:
                told.append(Fault(fault.path, "must be text, or keys with values"))
        elif fault.path not in no_text or not any(path.startswith((f"{fault.path}.", f"{fault.path}[")) for path in inside):
            told.append(fault)
    return told


@lru_cache(maxsize=64)
def _choices_of(root: type) -> frozenset[str]:
    """The names of settings classes that stand beside a text as the value of a setting: pydantic puts them into its locations."""
    return frozenset(
        choice.__name__
        for item in fields(root)
        if get_origin(item.type) is Mapping
        for choice in get_args(get_args(item.type)[1])
        if hasattr(choice, "__dataclass_fields__")
    )


def _without_choices(location: tuple[str | int, ...], kind: str, choices: frozenset[str]) -> tuple[str | int, ...]:
    """A location without the names of types: for a setting that takes a text or a list, pydantic tells what is wrong with each."""
    kept = tuple(part for part in location if part not in _LISTS and part not in choices)
    return kept[:-1] if kept and kept[-1] in _CHOICES and kind.endswith("_type") else kept


def unknown_key(owner: Sequence[str | int], key: str, known: Iterable[str]) -> Fault:
    """A key that nothing reads: a typing error would otherwise pass in silence."""
    known = list(known)
    cure = nearest(key, known) or f"known here: {', '.join(known)}"
    return Fault(path_of((*owner, key)), f"unknown key; {cure}")


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'vpn'?` for what was probably meant, and nothing when nothing is near. Case does not count."""
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word[:MAX_WORD_CHARS].casefold(), folded, 1)
    return f"did you mean {folded[close[0]]!r}?" if close else ""


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
        if get_origin(here) is Mapping:
            here = get_args(here)[1]
        elif isinstance(part, str):
            here = next((item.type for item in fields(here) if item.name == part), None) if isinstance(here, type) else None
        here = here if get_origin(here) is Mapping else _inner(here)
        if here is None:
            return None
    return here if isinstance(here, type) else None


def _inner(annotation: Any) -> Any:
    """The settings class inside `X`, `X | None` or `tuple[X, ...]`; None when there is none."""
    if isinstance(annotation, type) and hasattr(annotation, "__dataclass_fields__"):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if found is not None), None)
