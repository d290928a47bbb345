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
    """One policy of one file."""

    name: str
    document: Document
    settings: PolicySettings

    def compiled(self, settings: PolicySettings | None = None) -> Policy:
        """The policy, or another one in its place, among the networks of the document."""
        return compile_policy(settings or self.settings, KINDS, STRONG_KINDS, self.document.networks)


def recipes() -> Iterator[Recipe]:
    """Every policy of every file, by the file's name."""
    for path in FILES:
        document = parse(path.read_text(encoding="utf-8"))
        for settings in document.policies:
            yield Recipe(path.stem, document, settings)
