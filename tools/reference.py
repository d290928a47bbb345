"""Writes the generated pages of docs/reference from the code: settings, commands, events, RADIUS, reasons, metrics, schema.

`python tools/reference.py` writes them; `--check` exits 1 when a page is not what the code says (the tests call that).
"""

import argparse
import dataclasses
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

from typer import Context
from typer.main import get_command

from wardgate.audit.events import Kind
from wardgate.audit.incidents import IncidentKind
from wardgate.cli.main import app
from wardgate.config.document import LISTS, Document, settings_classes
from wardgate.config.reference import FileReference
from wardgate.config.schema import schema_of_document
from wardgate.directory.active_directory.settings import KerberosSettings
from wardgate.factors import SECOND_FACTORS
from wardgate.federation.refusals import REFUSALS
from wardgate.federation.settings import ClaimSettings, MetadataSettings, NameIdSettings
from wardgate.metrics import CATALOGUE, RESULTS, STEPS
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.vendors import VENDORS
from wardgate.settings import StartSettings
from wardgate.texts import Text, catalogue, render

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
HEAD = "<!-- Written by tools/reference.py from the code. Do not edit. -->\n\n"


def main() -> int:
    """Write or check every page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    arguments = parser.parse_args()
    stale = []
    for name, text in (
        ("settings.md", _page(settings_page())),
        ("commands.md", _page(commands_page())),
        ("audit-events.md", _page(events_page())),
        ("radius-attributes.md", _page(attributes_page())),
        ("reasons.md", _page(reasons_page())),
        ("metrics.md", _page(metrics_page())),
        ("configuration.schema.json", json.dumps(schema_of_document(), indent=2, ensure_ascii=False) + "\n"),
    ):
        path = PAGES / name
        if arguments.check:
            stale += [] if path.exists() and path.read_text(encoding="utf-8") == text else [name]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name} is not what the code says: run tools/reference.py", file=sys.stderr)
    return 1 if stale else 0


def _page(lines: Iterator[str]) -> str:
    return HEAD + "\n".join(lines).rstrip() + "\n"


# --- settings ----------------------------------------------------------------------------------------------------------


def settings_page() -> Iterator[str]:
    """Both files: wardgate.toml and the configuration document."""
    yield "# Settings"
    yield ""
    yield "## wardgate.toml"
    yield ""
    yield "What the start needs. `wardgate init` writes it with every setting and its help."
    for each in dataclasses.fields(StartSettings):
        kind = _hints(StartSettings)[each.name]
        several = _item_of(kind)
        yield from _table(f"[[{each.name}]]" if several else f"[{each.name}]", several or kind)
    yield ""
    yield "## The configuration document"
    yield ""
    yield "`wardgate config export` prints it, `wardgate config apply FILE` puts a version in force."
    for each in dataclasses.fields(Document):
        classes = settings_classes(each.name) if each.name in LISTS else {"": _hints(Document)[each.name]}
        for cls in dict.fromkeys(classes.values()):
            words = ", ".join(word for word, owner in classes.items() if word and owner is cls)
            yield from _table(each.name + (f" (kind: {words})" if words else ""), cls)


def _hints(cls: type) -> dict[str, object]:
    return typing.get_type_hints(cls)


def _table(title: str, cls: object) -> Iterator[str]:
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        return
    yield ""
    yield f"### {title}"
    yield ""
    yield (cls.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")
    yield ""
    yield "| setting | kind | default | what it does |"
    yield "| --- | --- | --- | --- |"
    yield from _rows("", cls)


# What every thing of the document has.
_COMMON = {"name": "what it is called; unique in its list", "kind": "which kind it is"}


# Settings that may be left out as a whole, and stand in one place only.
_UNFOLDED = (KerberosSettings, MetadataSettings, NameIdSettings)


def _rows(prefix: str, cls: type) -> Iterator[str]:
    hints = _hints(cls)
    for each in dataclasses.fields(cls):
        kind = hints[each.name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind is not FileReference:
            yield from _rows(f"{prefix}{each.name}.", kind)
            continue
        unit = each.metadata.get("unit")
        text = str(each.metadata.get("help", _COMMON.get(each.name, ""))) + (f" ({unit})" if unit else "")
        yield f"| `{prefix}{each.name}` | {_kind_name(kind)} | {_default(each)} | {text.replace('|', chr(92) + '|')} |"
        inner = _item_of(kind)
        if inner is not None:
            yield from _rows(f"{prefix}{each.name}[].", inner)
        for choice in typing.get_args(kind):
            if choice in _UNFOLDED:
                yield from _rows(f"{prefix}{each.name}.", choice)
            if ClaimSettings in typing.get_args(choice):
                yield from _rows(f"{prefix}{each.name}.NAME.", ClaimSettings)


def _item_of(kind: object) -> type | None:
    """The settings class of which a list consists."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
    return inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None


def _kind_name(kind: object) -> str:
    if kind is FileReference:
        return "`{file: PATH}`"
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{each}`" for each in typing.get_args(kind))
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return "list" if _item_of(kind) else f"list of {_kind_name(inner[0])}"
    if inner and typing.get_origin(kind) not in (dict,) and not _is_mapping(kind):
        names = [_kind_name(each) for each in inner if each is not type(None)]
        if any("Reference" in name or "Value" in name for name in names):
            return "secret: `{env: NAME}`, `{file: PATH}` or `{value: ...}` (sealed when stored)"
        return " or ".join(names)
    if _is_mapping(kind):
        return "mapping"
    name = getattr(kind, "__name__", str(kind))
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "object": "any value"}.get(
        name, name.removesuffix("Settings").lower() if name.endswith("Settings") else name
    )


def _is_mapping(kind: object) -> bool:
    return "Mapping" in str(typing.get_origin(kind))


def _default(each: dataclasses.Field[object]) -> str:
    if each.default is not dataclasses.MISSING:
        return "" if each.default is None else f"`{_plain(each.default)}`"
    if each.default_factory is not dataclasses.MISSING:
        made = each.default_factory()
        return f"`{_plain(made)}`" if made else ""
    return "needed"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(str(each) for each in value) + "]"
    return str(value) if value != "" else '""'


# --- commands ----------------------------------------------------------------------------------------------------------


def commands_page() -> Iterator[str]:
    """Every command with its help."""
    yield "# Commands"
    yield ""
    yield "Every command takes `--help`; with `--json` it prints one object on standard output. Exit codes: 0 done, 1 refused or a"
    yield "finding, 2 wrong usage, 3 a neighbour or the server is unavailable, 4 conflict."
    root = get_command(app)
    yield from _command(root, "wardgate", Context(root, info_name="wardgate"))


def _command(command: object, path: str, context: Context) -> Iterator[str]:
    subcommands = getattr(command, "list_commands", None)
    if subcommands is not None:
        for name in command.list_commands(context):  # type: ignore[attr-defined]
            inner = command.get_command(context, name)  # type: ignore[attr-defined]
            yield from _command(inner, f"{path} {name}", Context(inner, info_name=name, parent=context))
        if path == "wardgate" or not getattr(command, "invoke_without_command", False):
            return
    yield ""
    yield f"## {path}"
    yield ""
    yield "```text"
    text = command.get_help(Context(command, info_name=path, terminal_width=110, max_content_width=110))  # type: ignore[attr-defined, arg-type]
    yield from (line.rstrip() for line in text.splitlines())
    yield "```"


# --- tables ------------------------------------------------------------------------------------------------------------


def events_page() -> Iterator[str]:
    """The audit catalogue."""
    yield "# Audit events"
    yield ""
    yield "| kind | what it says |"
    yield "| --- | --- |"
    for kind in Kind:
        yield f"| `{kind.stored}` | {kind.help} |"


def attributes_page() -> Iterator[str]:
    """The built-in RADIUS dictionary."""
    yield "# RADIUS attributes"
    yield ""
    yield "What `release` rules may name. An attribute that is not here is named `vendor:number:kind`, such as `9999:5:integer`."
    yield ""
    yield "| name | number | kind |"
    yield "| --- | --- | --- |"
    for definition in BUILT_IN:
        number = f"{definition.vendor}:{definition.number}" if definition.vendor else str(definition.number)
        remark = " (set by the server)" if definition.protected else ""
        yield f"| {definition.name} | {number} | {definition.kind.value}{remark} |"
    yield ""
    yield "## Vendor profiles"
    yield ""
    for profile in VENDORS:
        yield f"- `{profile.name}`: {profile.title}"


def reasons_page() -> Iterator[str]:
    """Why a login ended as it did, and what never became a login."""
    yield "# Reasons and incidents"
    yield ""
    yield "## Factors"
    yield ""
    yield "| factor | strong | what a person types to choose it |"
    yield "| --- | --- | --- |"
    for factor in SECOND_FACTORS:
        yield f"| `{factor.kind}` | {'yes' if factor.strong else 'no'} | {', '.join(f'`{word}`' for word in factor.words)} |"
    yield ""
    yield "## Reasons in the timeline"
    yield ""
    yield "| reason | what it means |"
    yield "| --- | --- |"
    for name, sentence in catalogue("en").items():
        if name.startswith("reason."):
            yield f"| `{name.removeprefix('reason.')}` | {sentence} |"
    yield ""
    yield "## Incidents and their cures"
    yield ""
    yield "| incident | what it is | cure |"
    yield "| --- | --- | --- |"
    places = {"source": "ADDRESS", "nas": "NAME"}
    for kind in IncidentKind:
        title, cure = (render(Text(f"{table}.{kind.value}", places)) for table in ("incident", "cure"))
        yield f"| `{kind.value}` | {title} | {cure} |"
    yield ""
    yield "## SAML messages and metadata that are refused"
    yield ""
    yield "| name | what it means | what to do |"
    yield "| --- | --- | --- |"
    for code, refusal in REFUSALS.items():
        yield f"| `{code}` | {refusal.means} | {refusal.cure} |"


def metrics_page() -> Iterator[str]:
    """Everything that `/metrics` tells."""
    yield "# Metrics"
    yield ""
    yield "`/metrics` on the HTTPS port tells them for the whole node, whichever worker is asked. Each worker counts for itself,"
    yield "under its own label `worker`: `sum without (worker) (...)` is the node. What is *shared* has no such label; of the"
    yield "outbox every node tells the same, so take `max`, not `sum`. Of a histogram there are `_bucket`, `_sum` and `_count`."
    yield ""
    yield "| metric | kind | labels | what it tells |"
    yield "| --- | --- | --- | --- |"
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        kind = metric.kind + (", shared" if metric.shared else "")
        yield f"| `{metric.name}` | {kind} | {labels} | {metric.help} |"
    yield ""
    yield f"- `result` is one of {', '.join(f'`{result}`' for result in RESULTS)}."
    yield f"- `step` is one of {', '.join(f'`{step}`' for step in STEPS)}."
    yield "- `reason` and `kind` are [incidents](reasons.md#incidents-and-their-cures)."
    yield "- `directory`, `gateway` and `vendor` are names of the configuration. No label ever holds what came from outside."
    yield ""
    yield "Upper bounds of the buckets:"
    yield ""
    for metric in CATALOGUE:
        if metric.buckets:
            yield f"- `{metric.name}`: {', '.join(f'{bound:g}' for bound in metric.buckets)}"


if __name__ == "__main__":
    sys.exit(main())
