"""What the tutorials tell is done, step by step, on a copy of the sources; then the tests that they contain run there."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from wardgate.texts import LANGUAGES

TUTORIALS = ROOT / "docs" / "tutorials"
COPIED = (
    "src",
    "tools",
    "tests/conftest.py",
    "tests/neighbours.py",
    "tests/flows",
    "tests/unit/delivery",
    "tests/conformance",
    "pyproject.toml",
)


RUN_EACH = """
import json, sys
from wardgate.cli.main import run
for arguments in json.loads(sys.argv[2]):
    code = run([*arguments, "--data", sys.argv[1], "--json"])
    assert code == 0, (arguments, code)
"""


PARSE_PART = """
import sys
from wardgate.config.document import parse
from wardgate.config.reading import read_yaml
realms = [{"name": "acme", "default": True, "directories": ["local"]}]
parse({"realms": realms, "directories": [{"name": "local", "kind": "local"}], **read_yaml(sys.stdin.read())})
"""


@dataclass(frozen=True)
class Copy:
    """A copy of the sources in which a tutorial was followed."""

    root: Path

    def follow(self, page: Path) -> None:
        """Write every file and make every edit that the page tells."""
        for block in blocks(page):
            what, _, name = block.mark.partition(": ")
            if what == "file":
                path = self.root / name
                assert not path.exists(), f"{block}: {name} is there already"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif what == "edit":
                self._edit(block, self.root / name)

    def take_examples(self, page: Path) -> None:
        """Parse the parts of documents that need what the page adds."""
        examples = [block for block in blocks(page) if block.language == "yaml"]
        assert examples
        for block in examples:
            self.run("-c", PARSE_PART, stdin=block.text)

    def _edit(self, block: Block, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for hunk in block.text.split("\n\n"):
            lines = [line for line in hunk.splitlines() if line]
            assert all(line[0] in " +-" for line in lines), str(block)
            old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
            new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
            assert text.count(old) == 1, f"{block}: {path.name} does not hold these lines once:\n{old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run Python in the copy; its standard output."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), "PYTHONPATH": f"{self.root / 'src'}:{self.root}"}
        ran = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=environment, input=stdin, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, f"{' '.join(arguments)}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def wardgate(self, *commands: tuple[str, ...], stdin: str = "") -> dict[str, object]:
        """Run commands in the copy, in one process; the JSON of the last. Only one of them may read standard input."""
        told = self.run("-c", RUN_EACH, str(self.root / "data"), json.dumps(commands), stdin=stdin).splitlines()
        assert len(told) == len(commands)
        last = json.loads(told[-1])
        assert isinstance(last, dict)
        return last


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # With the compiled files: compiling all of it again would take longer than the tests.
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return Copy(tmp_path)


def edited(page: Path) -> list[str]:
    return [block.mark.removeprefix("edit: ") for block in blocks(page) if block.mark.startswith("edit: ")]


def test_the_sms_gateway_of_the_tutorial_works(copy: Copy) -> None:
    page = TUTORIALS / "add-an-sms-gateway.md"
    assert edited(page) == ["src/wardgate/delivery/sms/__init__.py"], "one file and one line"
    copy.follow(page)
    tests = copy.run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/conformance/gateway/test_signed.py",
        "tests/unit/delivery/test_signed.py",
    )
    assert re.search(r"^2\d passed", tests, re.MULTILINE), tests
    copy.run("-m", "tools.reference")
    copy.take_examples(page)
    assert "### gateways (kind: signed)" in (copy.root / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


FACTOR_IN_A_POLICY = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
applications: [{name: vpn, policy: remote}]
policies: [{name: remote, rules: [{name: staff, then: {steps: [[password], [ocra, totp]]}}]}]
"""


def test_the_factor_of_the_tutorial_works(copy: Copy) -> None:
    page = TUTORIALS / "add-a-factor.md"
    sentences = [f"src/wardgate/texts/{language}.toml" for language in LANGUAGES]
    assert edited(page) == ["src/wardgate/factors/__init__.py", *sentences], "one file, one line, a sentence in each language"
    copy.follow(page)
    tests = copy.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/flows/test_ocra.py")
    assert re.search(r"^\d+ passed", tests, re.MULTILINE), tests
    copy.run("-m", "tools.reference")
    reasons = (copy.root / "docs" / "reference" / "reasons.md").read_text(encoding="utf-8")
    copy.take_examples(page)
    assert "| `ocra` | yes | `calculator`, `ocra` |" in reasons


def test_the_factor_of_the_tutorial_is_enrolled_and_named_in_a_policy(copy: Copy) -> None:
    copy.follow(TUTORIALS / "add-a-factor.md")
    added = copy.wardgate(
        ("init",),
        ("config", "apply", "-"),
        ("user", "add", "ada", "--no-password"),
        ("authenticator", "add", "ada", "ocra"),
        stdin=FACTOR_IN_A_POLICY,
    )
    assert (added["kind"], len(str(added["secret_hex"]))) == ("ocra", 40)


def test_the_code_of_the_tutorials_is_written_as_ours(copy: Copy) -> None:
    for page in sorted(TUTORIALS.glob("*.md")):
        copy.follow(page)
    written = [
        block.mark.removeprefix("file: ") for page in TUTORIALS.glob("*.md") for block in blocks(page) if block.language == "python"
    ]
    assert written
    for check in (("check", "--no-cache"), ("format", "--check", "--no-cache")):
        copy.run("-m", "ruff", *check, "--quiet", *written)
