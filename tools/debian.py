"""Installs Debian packages, without a question and without a service being started."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
INSTALL_TIMEOUT_S = 1800
# invoke-rc.d asks this file whether a package's service may be started; 101 is "not allowed" (Debian Policy 9.3.3.2).
DENY_ALL = "#!/bin/sh\n# Written by wardgate's ./test --install for the time of one apt-get run.\nexit 101\n"


def apt_line(packages: Sequence[str]) -> str:
    """Return the one line that a person types to install `packages`."""
    return f"sudo apt-get install -y {' '.join(packages)}"


def can_install() -> bool:
    """Say whether packages can be installed from here: apt-get is present and we are root."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def install(packages: Sequence[str], policy: Path | None = None) -> bool:
    """Install `packages` with apt-get; return whether that worked. What apt-get says goes to standard error."""
    with services_denied(policy or POLICY):
        # An outdated package list is no reason to give up: the install that follows decides.
        _apt_get("update", "-qq")
        return _apt_get("install", "-y", "-qq", "--no-install-recommends", *packages)


@contextlib.contextmanager
def services_denied(policy: Path) -> Iterator[None]:
    """Keep packages from starting their services inside the block; what stood at `policy` before is put back.

    A run that was killed half-way leaves its traces; the next one finds the saved original, or knows our own text,
    and puts all right. A SIGTERM or SIGHUP waits for the end of the block, for us and for what we start: a package manager that is
    stopped half-way leaves more behind than a policy.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        with _replaced(policy):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _replaced(policy: Path) -> Iterator[None]:
    saved = policy.with_name(policy.name + ".before-wardgate")
    if os.path.lexists(policy) and not _is_ours(policy):
        policy.rename(saved)
    try:
        policy.unlink(missing_ok=True)
        policy.write_text(DENY_ALL)
        policy.chmod(0o755)
        yield
    finally:
        if os.path.lexists(saved):
            saved.replace(policy)
        else:
            policy.unlink(missing_ok=True)


def _is_ours(policy: Path) -> bool:
    try:
        return policy.read_bytes() == DENY_ALL.encode()
    except OSError:
        return False  # a link to nowhere is the machine's own business: save it as it is


def _apt_get(*arguments: str) -> bool:
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", *arguments]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    try:
        done = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, stdout=2, timeout=INSTALL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
