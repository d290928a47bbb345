"""Settings that cannot work are refused by name before anything is connected."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.directory.ldap.clients import settings
from wardgate.clock import FixedClock
from wardgate.directory.ldap.checks import check
from wardgate.directory.ldap.endpoints import Endpoint, SrvDomain, parse_server
from wardgate.directory.ldap.health import LONGEST_BACK_OFF_S, Health, back_off_s
from wardgate.directory.ldap.port import ServerState
from wardgate.directory.ldap.settings import BindSettings, TimeoutSettings
from wardgate.errors import SettingsError

GOOD = settings("ldaps://dc1.acme.test:636", "ldap+starttls://127.0.0.1", "ldaps+srv://acme.test", "ldaps://[::1]:1636")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("ldaps://DC1.acme.test", Endpoint("dc1.acme.test", 636, False, "dc1.acme.test:636")),
        ("ldaps://dc1:1636/", Endpoint("dc1", 1636, False, "dc1:1636")),
        ("ldap+starttls://127.0.0.1", Endpoint("127.0.0.1", 389, True, "127.0.0.1:389")),
        ("ldaps://[::1]", Endpoint("::1", 636, False, "[::1]:636")),
        ("ldaps+srv://acme.test", SrvDomain("acme.test")),
    ],
)
def test_addresses_are_read(url: str, wanted: object) -> None:
    assert parse_server(url) == wanted


def test_settings_that_can_work_pass() -> None:
    check(GOOD)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ldap://dc1.acme.test", "in clear"),
        ("dc1.acme.test", "ldaps://"),
        ("http://dc1", "unknown"),
        ("ldaps://", "no host"),
        ("ldaps://dc1:0", "port"),
        ("ldaps://dc1:99999", "port|Port"),
        ("ldaps://dc1/dc=acme", "behind"),
        ("ldaps://user:secret@dc1", "account"),
        ("ldaps+srv://acme.test:636", "without a port"),
    ],
)
def test_addresses_that_cannot_work_say_why(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        check(replace(GOOD, servers=(url,)))
    assert "directories.test.servers" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("servers", {"servers": ()}),
        ("servers", {"servers": ("ldaps://a",) * 33}),
        ("base", {"base": "acme.test"}),
        ("bind.dn", {"bind": BindSettings(dn="ACME\\svc", password=GOOD.bind.password)}),
        ("bind.dn", {"bind": BindSettings(dn="", password=GOOD.bind.password)}),
        ("ca_file", {"ca_file": ""}),
        ("timeouts.connect_s", {"timeouts": TimeoutSettings(connect_s=0)}),
        ("timeouts.operation_s", {"timeouts": TimeoutSettings(operation_s=float("nan"))}),
        ("connections", {"connections": 0}),
        ("verified_cache_s", {"verified_cache_s": -1}),
        ("down_grace_s", {"down_grace_s": 10**9}),
    ],
)
def test_other_settings_that_cannot_work_are_named(setting: str, changed: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"directories.test.{setting}"):
        check(replace(GOOD, **changed))  # type: ignore[arg-type]


def test_the_wait_for_a_server_that_is_down_doubles_up_to_a_minute() -> None:
    for failures, least_s in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (10_000, 60)):
        assert least_s <= back_off_s(failures) <= least_s * 1.25
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    health = Health(clock)
    assert not health.probe_due()
    for _ in range(10):
        health.failed("refused")
        assert health.state is ServerState.DOWN
        assert not health.probe_due()
        clock.advance(LONGEST_BACK_OFF_S * 1.25)
        assert health.probe_due()
    health.answered(0.25)
    assert (health.state, health.problem, health.answered_s) == (ServerState.UP, "", 0.25)
    health.suspect("slow")
    assert health.state is ServerState.SUSPECT
    assert health.probe_due()
