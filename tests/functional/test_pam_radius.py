"""A Linux login: PAM, pam_radius and pamtester in a real challenge loop. Needs root, for a service file of its own."""

import glob
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import neighbours
from tests.functional.harness import SECRET, Served, message_count, newest_code, password_of, totp_code, wrong_code
from tests.functional.plant import PAM, USERS

pytestmark = pytest.mark.neighbour("pam_radius")

SERVICES = Path("/etc/pam.d")


@dataclass(frozen=True, slots=True)
class Door:
    """One PAM service of ours."""

    name: str

    def start(self, user: str) -> "subprocess.Popen[str]":
        """Begin a login; what is written to it is what the person types."""
        command = [neighbours.executable("pam_radius"), self.name, user, "authenticate"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def log_in(self, user: str, *typed: str) -> tuple[int, str]:
        """A whole login: exit code and everything that was shown."""
        process = self.start(user)
        shown, _ = process.communicate("".join(f"{line}\n" for line in typed), timeout=60)
        return process.returncode, shown


def _door(folder: Path, server: str, secret: str, source: str) -> Iterator[Door]:
    if os.geteuid() != 0:
        pytest.skip("only root may add a PAM service")
    configuration = folder / "pam_radius.conf"
    configuration.write_text(f"{server} {secret} 10 {source}\n")
    configuration.chmod(0o600)
    module = next(
        found for place in ("/lib/*/security", "/usr/lib/*/security") for found in glob.glob(f"{place}/pam_radius_auth.so")
    )
    service = SERVICES / f"wardgate-test-{secrets.token_hex(4)}"
    service.write_text(f"auth required {module} conf={configuration}\naccount required pam_permit.so\n")
    try:
        yield Door(service.name)
    finally:
        service.unlink()


@pytest.fixture
def door(plant: Served, tmp_path: Path) -> Iterator[Door]:
    """A PAM service that asks the plant."""
    yield from _door(tmp_path, f"127.0.0.1:{plant.port}", SECRET, PAM)


@pytest.fixture
def demo_door(demo: Served, tmp_path: Path) -> Iterator[Door]:
    """A PAM service that asks the demo."""
    yield from _door(tmp_path, f"127.0.0.1:{demo.port}", demo.told["radius"]["secret"], "127.0.0.1")


def test_a_linux_login_with_password_and_app(door: Door) -> None:
    ada = USERS.with_app()
    code, shown = door.log_in(ada.name, ada.password, totp_code(ada.totp_hex))
    assert code == 0, shown
    assert "Enter the code from your app." in shown
    assert "successfully authenticated" in shown


def test_a_wrong_code_is_asked_for_again(door: Door) -> None:
    ada = USERS.with_app()
    right = totp_code(ada.totp_hex)
    code, shown = door.log_in(ada.name, ada.password, wrong_code(right), right)
    assert code == 0, shown
    assert "2 tries left" in shown


def test_a_wrong_password_is_refused(door: Door) -> None:
    ada = USERS.with_app()
    code, shown = door.log_in(ada.name, "not-the-password")
    assert code != 0
    assert "successfully" not in shown


def test_three_wrong_codes_end_the_login(door: Door) -> None:
    ada = USERS.with_app()
    wrong = wrong_code(totp_code(ada.totp_hex))
    code, shown = door.log_in(ada.name, ada.password, wrong, wrong, wrong, wrong)
    assert code != 0
    assert "successfully" not in shown


def test_a_linux_login_at_the_demo_with_a_code_from_the_phone(demo: Served, demo_door: Door) -> None:
    before = message_count(demo, "bob")
    process = demo_door.start("bob")
    assert process.stdin is not None
    process.stdin.write(f"{password_of(demo.told, 'bob')}\n")
    process.stdin.flush()
    code = newest_code(demo, "bob", "sms", before + 1)
    shown, _ = process.communicate(f"{code}\n", timeout=60)
    assert process.returncode == 0, shown
