"""Jinja as our pages use it: autoescape on, strict, and with the words of a language drawn when a template is compiled.

Half of a page's time went into asking for sentences that are the same on every page. So there is one environment for each
language, in which `t("page.skip")` is that sentence already, escaped and joined to the markup around it. Everything else stays a
call: a sentence with places for values, an id that is put together, and the name of the product, in whose place a brand may stand.
"""

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes
from jinja2.visitor import NodeTransformer

from wardgate.texts import catalogue

BRAND = "page.brand"
_TRANSLATE = "t"
_PLACES = frozenset("{}")


class SpeakingEnvironment(Environment):
    """An environment for templates in one language."""

    def __init__(self, language: str, folders: tuple[Path, ...]) -> None:
        super().__init__(
            loader=FileSystemLoader(folders),
            autoescape=True,
            auto_reload=False,  # files do not change under a server, and looking costs a page more than drawing it
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._words = _Words(language)

    def _generate(self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False) -> str:
        """Jinja's hook between parsing a template and writing its code."""
        return super()._generate(self._words.visit(source), name, filename, defer_init)


class _Words(NodeTransformer):
    """Puts sentences in the place of calls that can only give that sentence."""

    def __init__(self, language: str) -> None:
        self._sentences = catalogue(language)

    def visit_Call(self, node: nodes.Call) -> nodes.Expr:
        self.generic_visit(node)
        sentence = self._sentence_of(node)
        return node if sentence is None else nodes.Const(sentence, lineno=node.lineno, environment=node.environment)

    def _sentence_of(self, node: nodes.Call) -> str | None:
        if not isinstance(node.node, nodes.Name) or node.node.name != _TRANSLATE or node.kwargs or len(node.args) != 1:
            return None
        [asked] = node.args
        if not isinstance(asked, nodes.Const) or asked.value == BRAND:
            return None
        sentence = self._sentences.get(asked.value)
        return None if sentence is None or _PLACES & set(sentence) else sentence


@lru_cache(maxsize=8)
def environment(language: str, folders: tuple[Path, ...]) -> SpeakingEnvironment:
    """The environment of a language for these folders of templates, the first that has a name wins."""
    return SpeakingEnvironment(language, folders)
