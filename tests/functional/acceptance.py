"""The portal's acceptance table: the journeys that show each row, the looks that they are made with, and on which directories.

A look is a size, a scheme, a language, and whether the browser runs scripts. A journey names its row, and two looks that have
nothing in common; those are what a usual run makes. The four pairs are chosen so that the journeys of a row meet every two values
together as soon as there are three of them; test_acceptance_table.py counts.

Set WARDGATE_EVERY_LOOK to a folder to make every journey with every look that means something for it, on every directory:
`WARDGATE_EVERY_LOOK="$PWD/looks" ./test tests/functional -m acceptance`. What has passed is noted in that folder, and the same
command goes on from there; remove the folder to begin again. The scheme changes no page and no way through it, so there each page
is examined in both of them on one visit.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

EVERY_LOOK = "WARDGATE_EVERY_LOOK"
HIGH = {1280: 800, 390: 844, 320: 700}
SCHEMES = ("light", "dark")
LANGUAGES = ("en", "tr")
WIDTHS = (1280, 390)


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody looks at the pages. `script`: whether his browser runs any; `both`: each page is examined in both schemes."""

    width: int
    scheme: str
    language: str
    script: bool
    both: bool = False

    def __str__(self) -> str:
        scheme = "both" if self.both else self.scheme
        return f"{self.width}-{scheme}-{self.language}{'' if self.script else '-noscript'}"

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes to examine a page in, that of the visit last."""
        return (*(each for each in SCHEMES if self.both and each != self.scheme), self.scheme)

    def values(self) -> dict[str, str]:
        """What it is, by the name of each choice."""
        script = "script" if self.script else "no script"
        return {"size": str(self.width), "scheme": self.scheme, "language": self.language, "script": script}


Pair = tuple[Look, Look]
Usual = tuple[Look, ...]
# Each pair has nothing in common; three of the four together have every two values beside each other.
ONE: Pair = (Look(1280, "light", "en", True), Look(390, "dark", "tr", False))
OTHER: Pair = (Look(1280, "dark", "tr", True), Look(390, "light", "en", False))
THIRD: Pair = (Look(390, "light", "tr", True), Look(1280, "dark", "en", False))
FOURTH: Pair = (Look(390, "dark", "en", True), Look(1280, "light", "tr", False))


# --- rows ------------------------------------------------------------------------------------------------------------------

AD, OPENLDAP, OURS = "Active Directory", "OpenLDAP", "our own directory"
DIRECTORIES = (AD, OPENLDAP, OURS)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. `directories`: those whose answer decides something in it; `because`: why the others do not."""

    title: str
    directories: tuple[str, ...] = DIRECTORIES
    because: str = ""


ROWS: Mapping[str, Row] = {
    "A1": Row("password and an app's code; wrong, unknown, disabled and locked see one page"),
    "A2": Row("passkeys", (OURS,), "a passkey is a row of ours, and signs in without asking a directory for a password"),
    "A3": Row("text messages", (OURS,), "the code, its tries and its life are ours; A7 reads numbers from directories"),
    "A4": Row("a password that ran out"),
    "A5": Row("enrolment that can be put off", (OURS,), "what is put off and what is enrolled are rows of ours"),
    "A6": Row("the first visit of a new person"),
    "A7": Row("a forgotten password"),
    "A8": Row("a forgotten password of nobody"),
    "A9": Row("proofs that are not enough"),
    "A10": Row("a locked account"),
    "A11": Row("a forgotten user name", (OURS,), "the page says the same whoever is found"),
    "A12": Row("own contacts and ways in", (OURS,), "they are rows of ours; a directory's own contacts are only read"),
    "A13": Row("challenge questions"),
    "A14": Row("this was not me"),
    "A15": Row("signing out, Back, and sessions that end", (OURS,), "a session is a row of ours, ended without asking"),
    "A16": Row("neighbours that are down", (OURS,), "a world whose neighbours can be silenced stands for each of them"),
    "A17": Row("applications, approving, and pages of errors", (OURS,), "nothing in them comes from a directory"),
    "A18": Row("how it looks", (OURS,), "a directory draws nothing"),
}


# --- journeys --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Only:
    """A journey that has one answer to whether scripts run. `because`: why the other one means nothing."""

    script: bool
    because: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One journey with one look at one directory."""

    look: Look
    directory: str = OURS

    def values(self) -> dict[str, str]:
        """What it is, by the name of each choice."""
        return {**self.look.values(), "directory": self.directory}


@dataclass(frozen=True, slots=True)
class Journey:
    """A test that shows a row. `usual`: the cells that every run makes; `every`: all that mean something."""

    row: str
    name: str
    usual: tuple[Cell, ...]
    every: tuple[Cell, ...]
    only: Only | None


@dataclass(slots=True)
class Table:
    """The journeys of the test files that were read."""

    journeys: dict[tuple[str, str], Journey] = field(default_factory=dict)

    def add(self, test: Callable[..., object], journey: Journey) -> None:
        """Put a test in."""
        self.journeys[test.__module__, journey.name] = journey


TABLE = Table()
Places = Mapping[str, Sequence[Any]]


def every_look(only: Only | None = None) -> tuple[Look, ...]:
    """All that mean something, one for both schemes."""
    scripts = (True, False) if only is None else (only.script,)
    return tuple(Look(*each, both=True) for each in product(WIDTHS, SCHEMES[:1], LANGUAGES, scripts))


def shows(row: str, usual: Usual, *, only: Only | None = None, on: Places | None = None) -> Callable[[Any], Any]:
    """Mark a journey of a row, and give it its looks.

    `usual`: a pair, or one of it where the row has journeys enough. `on`: for each directory what makes an account there, which the
    test gets as `made`; in a usual run each of them has one of the looks.
    """
    looks = tuple(usual) if only is None else tuple(replace(each, script=only.script) for each in usual)
    made = [(directory, maker) for directory, makers in (on or {OURS: (None,)}).items() for maker in makers]
    chosen = (
        [(looks[number % len(looks)], *each) for number, each in enumerate(made)] if on else [(look, *made[0]) for look in looks]
    )
    possible = [(look, *each) for each in made for look in every_look(only)]

    def mark(test: Any) -> Any:
        cells = tuple(Cell(look, directory) for look, directory, _ in chosen)
        every = tuple(Cell(replace(look, scheme=s, both=False), directory) for look, directory, _ in possible for s in SCHEMES)
        TABLE.add(test, Journey(row, test.__name__, cells, every, only))
        taken = possible if os.environ.get(EVERY_LOOK) else chosen
        if on:
            names = [f"{row}-{maker.__name__}-{look}" for look, _, maker in taken]
            test = pytest.mark.parametrize(("made", "look"), [(maker, look) for look, _, maker in taken], ids=names)(test)
        else:
            test = pytest.mark.parametrize("look", [look for look, *_ in taken], ids=[f"{row}-{look}" for look, *_ in taken])(test)
        return pytest.mark.acceptance(row)(test)

    return mark


# --- a run of everything that can be gone on with ----------------------------------------------------------------------------


def notes() -> Path | None:
    """Where a run with every look notes what has passed; None in a usual run."""
    folder = os.environ.get(EVERY_LOOK)
    return Path(folder) / "passed.txt" if folder else None


def passed() -> frozenset[str]:
    """What has passed in this run or before it was interrupted."""
    file = notes()
    return frozenset(file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else ())


def note(test: str) -> None:
    """It has passed."""
    if file := notes():
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(test + "\n")
