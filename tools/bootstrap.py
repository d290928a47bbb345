"""Makes the environment in `.venv` from Python and the hashed locks, then becomes the program that was asked for.

The way down, each step tried when the one before it failed: uv on the PATH; uv in a private environment under `.tools`;
pip in that environment. All of them install exactly what the lock names, by hash, and build nothing but the extra `kerberos`, where
somebody asked for it. A stamp in `.venv`
says which locks it was made from and is written last, so an interrupted run is taken up again and a current environment
costs a few file reads. Runs that start at once wait for each other. Everything said here goes to standard error: standard
output belongs to the program that follows.
"""

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tools import debian

EXIT_UNAVAILABLE = 3  # the CLI's own code for "the server is unavailable"
INSTALL_TIMEOUT_S = 900
ASK_TIMEOUT_S = 60
STANDARD_ERROR = 2
KERBEROS_PACKAGES = ("gcc", "libc6-dev", "libkrb5-dev")

# What pip was told about indexes and certificates also holds for uv, which does not read pip's files:
# pip's setting, uv's option for it, and the variable by which uv may have been told otherwise.
UV_OPTIONS = {
    "index-url": ("--default-index", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("--index", "UV_INDEX"),
    "find-links": ("--find-links", "UV_FIND_LINKS"),
    "trusted-host": ("--allow-insecure-host", "UV_INSECURE_HOST"),
    "cert": ("--cert", "SSL_CERT_FILE"),
}


class BootstrapError(Exception):
    """The environment could not be made; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout and the places in it that the bootstrap uses."""

    root: Path

    @property
    def runtime_lock(self) -> Path:
        """What the product needs."""
        return self.root / "requirements.lock"

    @property
    def dev_lock(self) -> Path:
        """What tests and checks need; it contains the runtime lock."""
        return self.root / "requirements-dev.lock"

    @property
    def uv_lock(self) -> Path:
        """The one version of uv that we install ourselves."""
        return self.root / "tools" / "uv.lock.txt"

    @property
    def kerberos_lock(self) -> Path:
        """What the extra `kerberos` needs beside the runtime lock; it is built from source."""
        return self.root / "requirements-kerberos.lock"

    @property
    def kerberos_build_lock(self) -> Path:
        """What that is built with."""
        return self.root / "tools" / "kerberos-build.lock.txt"

    @property
    def kerberos_wanted(self) -> Path:
        """There where the extra was added once: an environment that is made anew gets it again."""
        return self.root / ".tools" / "kerberos"

    @property
    def venv(self) -> Path:
        """The environment that Wardgate runs in."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.venv / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """What the environment was made from; written last."""
        return self.venv / "wardgate-stamp.json"

    @property
    def private(self) -> Path:
        """The environment of pip and uv: theirs alone, so that they never mix with what Wardgate imports."""
        return self.root / ".tools" / "venv"

    @property
    def guard(self) -> Path:
        """The file that runs which start at once wait on."""
        return self.root / ".tools" / "bootstrap.guard"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an environment was made from: if any of it changes, the environment no longer fits.

    The launcher and the scripts name `root`, and `interpreter` moves when the system's Python does.
    """

    root: str
    interpreter: str
    runtime: str
    dev: str | None


def run(arguments: Sequence[str]) -> int:
    """Make the environment and become `wardgate ARGUMENTS`, or the demo when there are none. Returns only when that failed."""

    def start(tree: Tree) -> None:
        os.environ.setdefault("WARDGATE_DATA", str(tree.root / "var"))
        # -P: a json.py in the caller's directory is not ours to import.
        _become(tree.python, "-P", "-m", "wardgate", *(arguments or ["demo"]))

    return _prepared(start, dev=False)


def test(arguments: Sequence[str]) -> int:
    """Make the environment with the tools for tests and become tools/suite.py. Returns only when that failed."""
    return _prepared(lambda tree: _become(tree.python, str(tree.root / "tools" / "suite.py"), *arguments), dev=True)


def _prepared(start: Callable[[Tree], None], dev: bool) -> int:
    tree = Tree(Path(__file__).resolve().parent.parent)
    signal.signal(signal.SIGTERM, _stop)  # as an exception, so that _call takes its child down too
    try:
        prepare(tree, dev)
        start(tree)
    except BootstrapError as error:
        say(str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"cannot prepare {tree.venv}: {error}")
    except KeyboardInterrupt:
        return 130
    return EXIT_UNAVAILABLE


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _become(python: Path, *arguments: str) -> None:
    # No process of ours stays in between: signals and the exit code are the server's own.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(python, [str(python), *arguments])


def say(text: str) -> None:
    """Tell the person at the terminal, on standard error."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    prefix = "\033[2mwardgate:\033[0m" if coloured else "wardgate:"
    print(prefix, text, file=sys.stderr, flush=True)


def prepare(tree: Tree, dev: bool) -> None:
    """Bring `.venv` in line with the locks: nothing to do when its stamp says so. Raises BootstrapError, OSError."""
    if is_current(tree, dev):
        return
    with _alone(tree):
        if not is_current(tree, dev):  # whoever held the guard may have made it
            _make(tree, dev)


def is_current(tree: Tree, dev: bool) -> bool:
    """Say whether the environment was made from the locks that lie here. One with the tools for tests serves for running too."""
    stamp = read_stamp(tree)
    if stamp is None or not tree.python.exists():
        return False
    return stamp == _stamp_for(tree, dev or stamp.dev is not None)


def read_stamp(tree: Tree) -> Stamp | None:
    """Read what the environment was made from; None when there is no whole one."""
    try:
        return Stamp(**json.loads(tree.stamp.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _stamp_for(tree: Tree, dev: bool) -> Stamp:
    return Stamp(
        root=str(tree.root),
        interpreter=os.path.realpath(tree.python),
        runtime=_digest(tree.runtime_lock),
        dev=_digest(tree.dev_lock) if dev else None,
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    tree.guard.parent.mkdir(exist_ok=True)
    with tree.guard.open("a") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is preparing the environment; waiting for it")
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _make(tree: Tree, dev: bool) -> None:
    started = time.monotonic()
    stamp = read_stamp(tree)
    # The tools for tests, once installed, stay: `./run` after `./test` must not take them away again.
    dev = dev or (stamp is not None and stamp.dev is not None)
    lock = tree.dev_lock if dev else tree.runtime_lock
    # From here on the environment is neither the old nor the new one, and has no stamp until it is whole.
    tree.stamp.unlink(missing_ok=True)
    if not _is_usable(tree, stamp):
        _create(tree)
    say(f"installing {len(pinned(lock.read_text()))} packages from {lock.name}")
    _install(tree, lock)
    _connect(tree)
    if tree.kerberos_wanted.exists() and not _build_kerberos(tree):
        say("the Kerberos package could not be built again: everything else works; tools/kerberos tries once more")
    _write(tree.stamp, json.dumps(asdict(_stamp_for(tree, dev)), indent=2) + "\n")
    say(f"environment ready in {time.monotonic() - started:.1f} s")


def pinned(lock_text: str) -> dict[str, str]:
    """Return name and version of every package that a lock's text pins."""
    heads = [line.split(";")[0].split() for line in lock_text.splitlines() if "==" in line and line[:1].isalnum()]
    return dict(head[0].split("==", 1) for head in heads)


def _is_usable(tree: Tree, stamp: Stamp | None) -> bool:
    """Say whether the environment that is there, stamped or made by hand, can be brought in line rather than made anew."""
    if stamp is not None and (stamp.root != str(tree.root) or stamp.interpreter != os.path.realpath(tree.python)):
        return False
    probe = (
        "import sys, sysconfig, os; sys.exit(not (sys.version_info >= (3, 11) and os.path.isdir(sysconfig.get_path('purelib'))))"
    )
    return (tree.venv / "pyvenv.cfg").is_file() and _ask([str(tree.python), "-c", probe]) is not None


def _create(tree: Tree) -> None:
    say(f"making {tree.venv.name} with Python {'.'.join(map(str, sys.version_info[:3]))}")
    # Without pip: it needs ensurepip, which Debian's Python does not have, and nothing in here needs pip.
    command = [sys.executable, "-m", "venv", "--without-pip", "--clear", str(tree.venv)]
    code, output = _call(command, subprocess.PIPE, subprocess.STDOUT, ASK_TIMEOUT_S)
    if code != 0:
        raise BootstrapError(f"cannot make {tree.venv}: {output.strip()}")


def _install(tree: Tree, lock: Path) -> None:
    found = shutil.which("uv")
    if found is not None:
        if _uv_sync([found], tree, lock):
            return
        say(f"{found} could not do it; trying with a uv of our own")
    pip = _private_pip(tree)
    uv = _private_uv(tree, pip)
    if uv is not None and _uv_sync(uv, tree, lock):
        return
    say("trying with pip, which takes longer")
    if not _succeeds([*pip, "--python", str(tree.python), *_pip_install(lock)], {**os.environ, **_cache_choice()}):
        raise BootstrapError(
            f"cannot install what {lock.name} names: the lines above say why; see that this machine can reach its package index"
        )


def _uv_sync(uv: Sequence[str], tree: Tree, lock: Path) -> bool:
    program, *options = uv
    target = ["--python", str(tree.python), "--compile-bytecode"]
    checks = ["--require-hashes", "--only-binary", ":all:"]
    return _succeeds([program, "pip", "sync", "--quiet", *target, *checks, *options, str(lock)], uv_environment())


def uv_environment() -> dict[str, str]:
    """Return the environment to run uv in."""
    # The system's certificates: behind an inspecting proxy no others work. And no Python but the one that runs us.
    return {"UV_SYSTEM_CERTS": "true", **os.environ, **_cache_choice(), "UV_PYTHON_DOWNLOADS": "never"}


def _cache_choice() -> dict[str, str]:
    """Tell uv and pip to do without a cache where they cannot keep one, or it is another user's (a service account, sudo)."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    existing = next((path for path in (place, *place.parents) if path.exists()), place)
    if existing.stat().st_uid == os.geteuid() and os.access(existing, os.W_OK):
        return {}
    return {"UV_NO_CACHE": "true", "PIP_NO_CACHE_DIR": "true"}


def _pip_install(lock: Path) -> list[str]:
    # --only-binary: building a source archive would fetch build tools that no hash of ours covers.
    return [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "-r",
        str(lock),
    ]


def uv_options(pip_settings: str, environment: Mapping[str, str]) -> list[str]:
    """Return what `pip config list` printed as options for uv, but for those that uv's own variables in `environment` decide."""
    told: dict[str, str] = {}
    lines = [line.partition("=") for line in pip_settings.splitlines()]
    # A setting for `install` beats one for all commands, and pip's variables (":env:") beat its files.
    for scope in ("global.", "install.", ":env:."):
        told.update({key.removeprefix(scope): _unquoted(value) for key, _, value in lines if key.startswith(scope)})
    options = ["--no-index"] if told.get("no-index", "").lower() in {"1", "true", "yes", "on"} else []
    for setting, (option, variable) in UV_OPTIONS.items():
        if variable not in environment:
            options += [word for value in told.get(setting, "").split() for word in (option, value)]
    if "--index" in options:
        # pip takes the best version from all indexes, uv only what the first that knows the name has. Hashes make pip's way safe.
        options += ["--index-strategy", "unsafe-best-match"]
    return options


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _private_pip(tree: Tree) -> list[str]:
    """Return the command of a pip of our own. Raises BootstrapError with the line to type when this Python cannot make one."""
    pip = [str(tree.private / "bin" / "python"), "-m", "pip"]
    if _ask([*pip, "--version"]) is not None:
        return pip
    problem = _make_private(tree)
    if problem and "ensurepip" in problem:
        problem = _make_private_with_debian(tree)
    if problem:
        raise BootstrapError(problem)
    return pip


def _make_private(tree: Tree) -> str:
    """Make the environment of pip and uv; return what was wrong, nothing when it is there."""
    command = [sys.executable, "-m", "venv", "--clear", str(tree.private)]
    code, output = _call(command, subprocess.PIPE, subprocess.STDOUT, ASK_TIMEOUT_S)
    return "" if code == 0 else f"cannot make {tree.private}: {output.strip()}"


def _make_private_with_debian(tree: Tree) -> str:
    """Do what Debian's python3-venv is for: install it when we may, else return the line that does."""
    if shutil.which("apt-get") is None:
        return f"{sys.executable} comes without ensurepip: install its venv package, or put uv on the PATH; then start this again"
    packages = [venv_package()]
    advice = f"this Python cannot make environments. Type this, then start again:\n\n  {debian.apt_line(packages)}\n"
    if not debian.can_install():
        return advice
    say(f"this Python cannot make environments: installing {packages[0]}")
    if not debian.install(packages):
        return advice
    return _make_private(tree) and advice


def venv_package(system_python: str = "/usr/bin/python3") -> str:
    """Return the Debian package that completes this Python; the one for the default Python unless another of Debian's runs us."""
    ours, default = os.path.realpath(sys.executable), os.path.realpath(system_python)
    if ours == default or os.path.dirname(ours) != os.path.dirname(default):
        return "python3-venv"
    return f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


def _private_uv(tree: Tree, pip: Sequence[str]) -> list[str] | None:
    """Return our own uv of the locked version, with the options that say what pip was told; None when pip cannot get it."""
    uv = tree.private / "bin" / "uv"
    wanted = pinned(tree.uv_lock.read_text())["uv"]
    if (_ask([str(uv), "--version"]) or "").split()[1:2] != [wanted]:
        say(f"installing uv {wanted} into {tree.private.parent.name}")
        if not _succeeds([*pip, *_pip_install(tree.uv_lock)], {**os.environ, **_cache_choice()}):
            return None
    return [str(uv), *uv_options(_ask([*pip, "config", "list"]) or "", os.environ)]


def add_kerberos(tree: Tree) -> bool:
    """Add the extra `kerberos` to an environment that is there; return whether that worked. Raises BootstrapError, OSError.

    The only thing that is ever built: its source and all build tools are named with their hashes, and uv checks both.
    """
    if shutil.which("krb5-config") is None or shutil.which("cc") is None:
        raise BootstrapError(f"a C compiler and the Kerberos headers are needed: {debian.apt_line(KERBEROS_PACKAGES)}")
    with _alone(tree):
        if not _build_kerberos(tree):
            return False
        _write(tree.kerberos_wanted, "")
    return True


def _build_kerberos(tree: Tree) -> bool:
    uv = _private_uv(tree, _private_pip(tree))
    if uv is None:
        return False
    program, *options = uv
    say(f"building what {tree.kerberos_lock.name} names, which takes a minute")
    command = [program, "pip", "install", "--quiet", "--python", str(tree.python), "--require-hashes", "--no-deps"]
    sources = ["--only-binary", ":all:", "--no-binary", "gssapi", "--build-constraints", str(tree.kerberos_build_lock)]
    return _succeeds([*command, *sources, *options, "-r", str(tree.kerberos_lock)], uv_environment())


def own_uv(tree: Tree) -> list[str]:
    """Return the pinned uv and its options, for tools/lock. Raises BootstrapError."""
    tree.guard.parent.mkdir(exist_ok=True)
    uv = _private_uv(tree, _private_pip(tree))
    if uv is None:
        raise BootstrapError("cannot install uv: the lines above say why")
    return uv


def _connect(tree: Tree) -> None:
    """Put `src` on the environment's path and the launcher into its `bin`."""
    site = _ask([str(tree.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if site is None:
        raise BootstrapError(f"{tree.python} does not run")
    _write(Path(site.strip()) / "wardgate-src.pth", f"{tree.root / 'src'}\n")
    # A shell's exec, not a "#!" with the interpreter's path: that may hold blanks or be longer than the kernel reads.
    launcher = tree.venv / "bin" / "wardgate"
    _write(launcher, f'#!/bin/sh\nexec {shlex.quote(str(tree.python))} -P -m wardgate "$@"\n', mode=0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file that is either the old or the new one, whenever somebody looks."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)


def _ask(command: Sequence[str]) -> str | None:
    """Return what a command prints, None when it fails or is not there."""
    try:
        code, output = _call(command, subprocess.PIPE, subprocess.DEVNULL, ASK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return output if code == 0 else None


def _succeeds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    """Run a command with all it says on standard error."""
    try:
        return _call(command, STANDARD_ERROR, None, INSTALL_TIMEOUT_S, environment)[0] == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{Path(command[0]).name}: {error}")
        return False


def _call(
    command: Sequence[str], stdout: int, stderr: int | None, timeout_s: float, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command that does not outlive us; return its exit code and what came through a pipe.

    A SIGTERM that arrives while the child is being started waits until we hold the child, else it would be left behind.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, preexec_fn=_hear_sigterm
        )
        try:
            _hear_sigterm()
            output, _ = child.communicate(timeout=timeout_s)
        except BaseException:
            child.kill()
            child.wait()
            raise
    finally:
        _hear_sigterm()
    return child.returncode, output or ""


def _hear_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
