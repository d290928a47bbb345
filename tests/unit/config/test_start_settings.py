"""`wardgate.toml`: what stands in it, and that every fault is named."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from wardgate.errors import SettingsError
from wardgate.settings import (
    DOORS,
    MAX_FILE_BYTES,
    HttpsListenerSettings,
    ServeOverrides,
    StartSettings,
    apply_overrides,
    demo_settings,
    parse_settings,
    read_settings,
    render_settings,
)
from wardgate.storage.backends import sqlite_path


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_settings({}) == StartSettings()


def test_what_is_rendered_reads_back_and_explains_every_setting() -> None:
    inside = HttpsListenerSettings(address="10.0.0.5", port=9443, certificate="tls/inside.pem", doors=("health", "metrics"))
    for settings in (StartSettings(), demo_settings(), StartSettings(listener=(inside, HttpsListenerSettings(port=9444)))):
        text = render_settings(settings)
        assert parse_settings(tomllib.loads(text)) == settings
    for table in fields(StartSettings):
        value = getattr(settings, table.name)
        assert f"[{table.name}]" in text
        for item in fields(value[0] if isinstance(value, tuple) else value):
            assert f"# {item.metadata['help']}\n{item.name} = " in text


def test_a_listener_without_doors_is_not_opened() -> None:
    settings = parse_settings({"https": {"doors": []}, "listener": [{"port": 9443, "doors": ["health"]}, {"port": 9444}]})
    assert [(each.port, each.doors) for each in settings.https_listeners] == [(9443, ("health",)), (9444, DOORS)]


def test_a_machine_that_takes_no_logins_listens_to_no_nas() -> None:
    assert parse_settings({"server": {"roles": ["delivery"]}}).radius_addresses == ()
    assert parse_settings({}).radius_addresses == ("0.0.0.0", "::")


@pytest.mark.parametrize(
    ("tables", "url"),
    [
        ({}, ""),
        ({"https": {"public_url": "https://login.acme.test/"}}, "https://login.acme.test"),
        ({"https": {"doors": ["admin"], "public_url": "https://inside.acme.test"}}, ""),
        ({"https": {"doors": ["health"]}, "server": {"portal_url": "https://login.acme.test/"}}, "https://login.acme.test"),
        (
            {"https": {"public_url": "https://one.acme.test"}, "server": {"portal_url": "https://two.acme.test"}},
            "https://two.acme.test",
        ),
    ],
)
def test_where_the_portal_is_reached_is_told_here_or_by_its_own_listener(tables: dict[str, object], url: str) -> None:
    assert parse_settings(tables).portal_url == url


def test_the_demo_listens_on_this_machine_only() -> None:
    settings = demo_settings()
    assert set(settings.radius.addresses) == {"127.0.0.1", "::1"}
    assert settings.https.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[radios]\nport = 1", "radios: unknown key; did you mean 'radius'?"),
        ("[radius]\nprot = 1", "radius.prot: unknown key; did you mean 'port'?"),
        ("[radius]\nport = '1812'", "radius.port: must be a whole number"),
        ("[radius]\nport = true", "radius.port: must be a whole number"),
        ("[radius]\nport = 70000", "radius.port: must be between 0 and 65535"),
        ("[radius]\nport = 1813", "radius.accounting_port: must differ from radius.port"),
        ("[radius]\naddresses = ['localhost']", "radius.addresses: 'localhost' is not an address"),
        ("[https]\naddress = 'all'", "https.address: 'all' is not an address"),
        ("[https]\nport = -1", "https.port: must be between 0 and 65535"),
        ("[database]\nurl = 'mysql://db'", "database.url: must be sqlite:PATH"),
        ("[log]\nlevel = 'loud'", "log.level: must be 'debug', 'info'"),
        ("[server]\nworkers = 65", "server.workers: must be between 0 and 64"),
        ("[server]\nnode = 'a:b'", "server.node: letters, digits"),
        ("[server]\nroles = ['login']", "server.roles"),
        (
            "[server]\nportal_url = 'https://login.acme.test/portal'",
            "server.portal_url: write https://login.acme.test, without a path",
        ),
        ("[server]\nportal_url = 'http://login.acme.test'", "server.portal_url: write https://login.acme.test, without a path"),
        ("[https]\ndoors = ['front']", "https.doors"),
        ("[[listener]]\naddress = 'all'", "listener[0].address: 'all' is not an address"),
        ("[[listener]]\nport = 70000", "listener[0].port: must be between 0 and 65535"),
        ("[[listener]]\nport = 8443", "listener[0].port: another listener has this address and port"),
        ("[[listener]]\nprot = 1", "prot: unknown key"),
        ("[[listener]]\nport = 0\n" * 17, "listener: at most 16"),
        ("radius = 5", "radius: must be keys with values"),
        ("radius", "not TOML"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wardgate.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings(file)
    assert told in caught.value.message
    assert str(file) in caught.value.message


def test_a_missing_or_endless_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="wardgate init makes one"):
        read_settings(tmp_path / "wardgate.toml")
    (tmp_path / "wardgate.toml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SettingsError, match="larger than"):
        read_settings(tmp_path / "wardgate.toml")


def test_the_command_line_goes_before_the_file() -> None:
    settings = apply_overrides(StartSettings(), ServeOverrides(radius_port=0, https_port=9443, host="127.0.0.2"))
    assert (settings.radius.port, settings.radius.accounting_port) == (0, 0)
    beside = apply_overrides(StartSettings(), ServeOverrides(radius_port=2812))
    assert (beside.radius.port, beside.radius.accounting_port) == (2812, 2813)
    own = apply_overrides(StartSettings(), ServeOverrides(radius_port=2812, accounting_port=3813))
    assert own.radius.accounting_port == 3813
    assert settings.radius.addresses == ("127.0.0.2",)
    assert (settings.https.address, settings.https.port) == ("127.0.0.2", 9443)
    assert apply_overrides(StartSettings(), ServeOverrides()) == StartSettings()
    assert apply_overrides(StartSettings(), ServeOverrides(workers=3)).server.workers == 3
    with pytest.raises(SettingsError, match=r"the command line:\nradius.addresses: 'here' is not an address"):
        apply_overrides(StartSettings(), ServeOverrides(host="here"))


def test_a_relative_database_is_taken_from_the_data_directory() -> None:
    assert sqlite_path(StartSettings().database, Path("/data")) == Path("/data/wardgate.db")
    absolute = parse_settings({"database": {"url": "sqlite:/srv/db/w.db"}})
    assert sqlite_path(absolute.database, Path("/data")) == Path("/srv/db/w.db")
