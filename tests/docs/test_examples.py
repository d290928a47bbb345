"""What the pages show works: documents parse, commands exist, requests come out as they are meant."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import typer

from tests.docs.pages import ROOT, Block, all_blocks, prose_code
from wardgate.cli.main import app
from wardgate.config.document import Document, parse
from wardgate.config.reading import read_yaml
from wardgate.crypto import Secret
from wardgate.delivery.sms.http import HttpSmsSettings
from wardgate.delivery.sms.template import fill_request
from wardgate.engine.outcome import Granted
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.nas import build_nas
from wardgate.radius.nas_table import NasTable
from wardgate.radius.release import compile_release
from wardgate.texts import LANGUAGES, catalogue

YAML = all_blocks("yaml")
SHELL = all_blocks("sh")
# Programs of others that the pages call; a word that is in neither list is a typing error.
OTHERS = {"export", "useradd", "install", "systemctl", "sqlite3", "printf", "source"}
OURS = {"wardgate", "./run", "/opt/wardgate/run"}


# --- documents -----------------------------------------------------------------------------------------------------------


def completed(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a document with the rest that it needs: what it refers to and does not hold."""
    whole = {
        "realms": [{"name": "acme", "default": True, "directories": ["local"]}],
        "directories": [{"name": "local", "kind": "local"}],
        **part,
    }
    named = {application["name"] for application in whole.get("applications", ())}
    missing = [{"name": nas["application"]} for nas in whole.get("nas", ()) if nas["application"] not in named]
    whole["applications"] = [*whole.get("applications", ()), *missing]
    policies = {policy["name"] for policy in whole.get("policies", ())}
    wanted = {application["policy"] for application in whole["applications"] if "policy" in application} - policies
    rule = {"name": "all", "then": {"steps": [["password"]]}}
    whole["policies"] = [*whole.get("policies", ()), *({"name": name, "rules": [rule]} for name in sorted(wanted))]
    return whole


def plain_of(block: Block) -> dict[str, Any]:
    plain = read_yaml(block.text)
    assert isinstance(plain, dict), str(block)
    return plain if block.mark == "yaml: document" else completed(plain)


def document_of(block: Block) -> Document:
    return parse(plain_of(block))


def test_every_example_of_a_document_says_whether_it_is_whole() -> None:
    marks = {"yaml: document", "yaml: part", "yaml: part, with this tutorial"}
    assert [str(block) for block in YAML if block.mark not in marks] == []
    assert len(YAML) > 10


@pytest.mark.parametrize("block", [block for block in YAML if "tutorial" not in block.mark], ids=str)
def test_an_example_of_a_document_is_one(block: Block) -> None:
    document_of(block)


@pytest.mark.parametrize("block", [block for block in YAML if "tutorial" not in block.mark], ids=str)
def test_an_example_of_a_document_fits_the_published_schema(block: Block) -> None:
    schema = json.loads((ROOT / "docs" / "reference" / "configuration.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(plain_of(block))


GATEWAYS = [
    gateway
    for block in YAML
    if block.page == "docs/operator-guide.md"
    for gateway in document_of(block).gateways
    if isinstance(gateway, HttpSmsSettings)
]


@pytest.mark.parametrize("settings", GATEWAYS, ids=lambda settings: settings.name)
def test_the_worked_examples_of_gateways_send_everything(settings: HttpSmsSettings) -> None:
    number = {"e164": "+905321234567", "digits": "905321234567", "national": "05321234567"}[settings.number_format]
    values = {"number": number, "text": "123456 ist Ihr Code", "id": "m1", "secret": "k3y", "username": settings.username or ""}
    request = fill_request(settings.request, values)
    sent = (
        f"{request.url} {request.headers} {(request.content or b'').decode()}".replace("+", " ")
        .replace("%20", " ")
        .replace("%2B", "+")
    )
    for part in (number.removeprefix("+"), "123456 ist Ihr Code", "k3y", settings.username or ""):
        assert part in sent
    assert not re.search(r"\{[a-z]+\}", sent)


def test_there_are_three_worked_examples() -> None:
    assert [
        (settings.request.method, settings.request.json is not None, settings.request.form is not None) for settings in GATEWAYS
    ] == [
        ("POST", True, False),
        ("POST", False, True),
        ("GET", False, False),
    ]


def palo_alto(application: str) -> Document:
    """The last example of the Palo Alto page that speaks of this application."""
    examples = [document_of(block) for block in YAML if block.page == "docs/integrations/palo-alto.md"]
    return [each for each in examples if any(one.name == application and one.release for one in each.applications)][-1]


def released(document: Document, application: str, *groups: str) -> list[bytes]:
    """The values of the reply attributes that somebody in these groups is given."""
    rules = next(each.release for each in document.applications if each.name == application)
    granted = Granted(
        subject_id="s",
        user_name="ada",
        directory="local",
        realm="acme",
        display_name="Ada",
        mail=None,
        groups=groups,
        attributes={},
        factors=("password", "totp"),
        assurance=2,
        application=application,
        reference="R",
    )
    attributes, left_out = compile_release(rules, BUILT_IN).attributes(granted)
    assert left_out == []
    # Vendor-Specific: four octets of vendor, number, length, value.
    return [value[6:] for _, value in attributes]


def test_the_groups_of_the_palo_alto_page_are_sent_as_it_says() -> None:
    assert released(palo_alto("vpn"), "vpn", "vpn-users", "staff") == [b"vpn-users"]
    assert released(palo_alto("vpn"), "vpn", "staff") == []


def test_the_administrators_of_the_palo_alto_page_get_their_role_and_nobody_else_does() -> None:
    document = palo_alto("firewall-admins")
    assert released(document, "firewall-admins", "firewall-admins") == [b"superuser"]
    assert released(document, "firewall-admins", "firewall-readers") == [b"superreader"]
    assert released(document, "firewall-admins", "vpn-users") == []
    table = NasTable([build_nas(nas, Secret("shared by both")) for nas in document.nas])
    for identifier, name in ((b"Wardgate-Admins", "hq-admins"), (b"GlobalProtect", "hq-firewall"), (None, "hq-firewall")):
        found = table.find("192.0.2.1", identifier)
        assert found is not None
        assert found.name == name


# --- commands ------------------------------------------------------------------------------------------------------------


def calls(text: str) -> Iterator[list[str]]:
    """Every command of a shell block, as words, without comments, redirections and what stands in quotes to be piped."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def without_redirections(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        if skip or set(word) <= set("<>"):
            skip = not skip
        else:
            kept.append(word)
    return kept


def check_call(words: list[str]) -> None:
    """Parse the words as the command line would. Raises what it would answer."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="wardgate")
    rest = list(words)
    while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        inner = command.get_command(context, name)
        assert inner is not None, f"there is no command {name!r}"
        context = typer.Context(inner, info_name=name, parent=context)
        command = inner
    if hasattr(command, "get_command") and not command.invoke_without_command:
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert rest or not words, f"{' '.join(words)} is not a whole command"
        assert set(rest) <= known, rest
        return
    command.make_context(command.name, rest).close()


SHELL_CALLS = [(block, words) for block in SHELL for words in map(without_redirections, calls(block.text))]


@pytest.mark.parametrize(
    ("block", "words"), SHELL_CALLS, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else str(value)
)
def test_a_command_in_an_example_exists_and_takes_what_it_is_given(block: Block, words: list[str]) -> None:
    program = words[0].partition("=")[0] if "=" in words[0] else words[0]
    if program in OURS:
        check_call(words[1:])
    elif program.startswith("./"):
        assert (ROOT / program).stat().st_mode & 0o111, f"{block}: {program} cannot be started"
        assert all(option in (ROOT / "tools" / "suite.py").read_text() for option in words[1:]), str(block)
    else:
        assert program in OTHERS or program.isupper(), f"{block}: {program}"


INLINE = sorted({code for code in prose_code() if re.match(r"(wardgate|\./run) [a-z]", code)})
# The cures in the live log and the texts of the pages name commands too, with places for names.
SPOKEN = sorted(
    {
        command
        for language in LANGUAGES
        for text in catalogue(language).values()
        for command in re.findall(r"wardgate [a-z][^.;,:()]*", text)
    }
)


@pytest.mark.parametrize("code", [*INLINE, *SPOKEN])
def test_a_command_in_a_sentence_exists(code: str) -> None:
    """Its path and its options; a sentence may leave arguments out, and go on after the command."""
    for words in map(without_redirections, calls(code)):
        command: Any = typer.main.get_command(app)
        context = typer.Context(command, info_name="wardgate")
        for word in words[1:]:
            if hasattr(command, "get_command") and not word.startswith("-"):
                command = command.get_command(context, word)
                assert command is not None, f"there is no command {word!r}"
                context = typer.Context(command, info_name=word, parent=context)
            elif word.startswith("--"):
                known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
                assert word in known | {"--help"}
