"""The recipes of the policy cookbook: each file as a document, and its policies as they are compiled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wardgate.config.document import Document, parse
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import Policy, compile_policy
from wardgate.policy.settings import PolicySettings

COOKBOOK = Path(__file__).resolve().parents[1] / "docs" / "cookbook"
FILES = sorted(COOKBOOK.glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """One file, by its name."""

    name: str
    document: Document

    def compiled(self) -> Iterator[tuple[PolicySettings, Policy]]:
        """Each of its policies as it stands there and as it decides."""
        for settings in self.document.policies:
            yield settings, compile_policy(settings, KINDS, STRONG_KINDS, self.document.networks)


def recipes() -> Iterator[Recipe]:
    """Every file."""
    for path in FILES:
        yield Recipe(path.stem, parse(path.read_text(encoding="utf-8")))
