"""Runs checks and tests in the environment that bootstrap.py has made; `./test` becomes this."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import neighbours  # noqa: E402
from tools import debian  # noqa: E402
from tools.bootstrap import BootstrapError, Tree, add_kerberos, say  # noqa: E402

USAGE = """usage: ./test [--install] [--no-lint] [PYTEST ARGUMENTS]

  ./test                       ruff, mypy, then all tests on all cores
  ./test tests/unit -k totp    only these tests, one after the other, no ruff, no mypy
  ./test --no-lint             all tests, no ruff, no mypy
  ./test --install             first install the neighbours that are missing (Debian packages, needs root); then none may be missing

A test whose neighbour is missing is skipped with the reason, and fails under --install or CI=true.
Exit codes: 0 all well, 3 the environment could not be made, else pytest's own (1 also for a finding of ruff or mypy).
"""

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
# Arguments that ask for some of the tests, or for one process: neither all cores nor the checks are wanted then.
NARROWING = (
    "-k",
    "-m",
    "-n",
    "-s",
    "--lf",
    "--last-failed",
    "--ff",
    "--failed-first",
    "--pdb",
    "--co",
    "--collect-only",
    "-h",
    "--fixtures",
    "--markers",
)


@dataclass(frozen=True, slots=True)
class Order:
    """What `./test` was asked to do."""

    install: bool
    lint: bool
    parallel: bool
    pytest: tuple[str, ...]


def read_order(arguments: Sequence[str], here: Path) -> Order:
    """Tell our own options from pytest's; paths are made absolute from `here`, because pytest runs at the root."""
    own = {"--install", "--no-lint"}
    rest = [argument for argument in arguments if argument not in own]
    absolute = [_absolute(argument, here) for argument in rest]
    narrow = absolute != rest or any(argument.startswith(("/", *NARROWING)) for argument in rest)
    return Order(
        install="--install" in arguments,
        lint="--no-lint" not in arguments and not narrow,
        parallel=not narrow,
        pytest=tuple(absolute),
    )


def _absolute(argument: str, here: Path) -> str:
    path, separator, test = argument.partition("::")
    place = here / path
    return f"{place}{separator}{test}" if path and not path.startswith("-") and place.exists() else argument


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` ask; return the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    order = read_order(arguments, Path.cwd())
    environment = dict(os.environ)
    failed = []
    if order.install:
        environment[neighbours.REQUIRE] = "1"
        failed += install_neighbours()
    if order.lint:
        failed += [" ".join(check) for check in CHECKS if not _passes(check)]
    code = _pytest((*(("-n", "auto") if order.parallel else ()), *order.pytest), environment)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return code or bool(failed)


def install_neighbours() -> list[str]:
    """Install what the table in tests/neighbours.py misses here; return what failed.

    The tests run all the same and say what they lack.
    """
    packages = neighbours.missing_packages()
    if not packages:
        say("all neighbours are installed")
        return []
    if not debian.can_install():
        say(f"only root on Debian or Ubuntu can install the neighbours from here: {debian.apt_line(packages)}")
        return ["--install"]
    say(f"installing {', '.join(packages)}")
    failed = [] if debian.install(packages) else ["apt-get"]
    return failed if importlib.util.find_spec("gssapi") is not None or _adds_kerberos() else [*failed, "tools/kerberos"]


def _adds_kerberos() -> bool:
    try:
        return add_kerberos(Tree(ROOT))
    except (BootstrapError, OSError) as error:
        say(str(error))
        return False


def _passes(check: Sequence[str]) -> bool:
    say(" ".join(check))
    return subprocess.run([sys.executable, "-m", *check], cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    # A shell starts its background jobs with SIGINT ignored, and pytest would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment)

    def pass_on(number: int, frame: FrameType | None) -> None:
        # pytest tears its fixtures, and so its servers, down on SIGINT alone.
        child.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to pytest as well, which then ends in its own time
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
