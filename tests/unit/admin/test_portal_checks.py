"""What `wardgate check` and applying a document say of how the portal is reached and looks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.admin.test_configuration import weaker
from tests.unit.admin.test_machine_checks import opened_at
from tests.unit.brand.test_brand_settings import SVG
from wardgate.admin.checks import check_installation
from wardgate.admin.configuration import apply_document
from wardgate.admin.office import Office
from wardgate.certificates import covers, names_of, self_signed
from wardgate.config.store import first_document, load_current, save
from wardgate.errors import SettingsError
from wardgate.settings import HttpsListenerSettings, ServerSettings, StartSettings
from wardgate.web.access import hosts_of

DOCUMENT = "realms: [{name: default, default: true, directories: [local]}]\ndirectories: [{name: local, kind: local}]\n"


async def told(data: Path, listener: HttpsListenerSettings, name: str = "login.acme.test") -> list[str]:
    """What is said of the portal where the certificate is for `name`."""
    async with opened_at(data, StartSettings(https=listener)) as (office, opened):
        opened.installation.certificate.write_bytes(self_signed(datetime.now(UTC), name)[0])
        found = (await check_installation(office, opened))["findings"]
        assert all(each["cure"] and each["level"] == "warning" for each in found if each["what"].startswith("the portal"))
        return [each["what"] for each in found if each["what"].startswith("the portal")]


async def test_portal_without_a_public_url_is_told(tmp_path: Path) -> None:
    [only] = await told(tmp_path / "data", HttpsListenerSettings())
    assert only.startswith("the portal at 127.0.0.1:8443 has no public_url")


async def test_listener_without_the_portal_needs_none(tmp_path: Path) -> None:
    assert await told(tmp_path / "data", HttpsListenerSettings(doors=("admin", "health"))) == []


async def test_portal_with_its_name_in_the_certificate_is_well(tmp_path: Path) -> None:
    assert await told(tmp_path / "data", HttpsListenerSettings(public_url="https://login.acme.test")) == []


async def test_certificate_for_another_name_is_told(tmp_path: Path) -> None:
    [only] = await told(tmp_path / "data", HttpsListenerSettings(public_url="https://login.acme.test"), "mail.acme.test")
    assert "is not for login.acme.test" in only


async def test_behind_a_proxy_the_certificate_may_have_another_name(tmp_path: Path) -> None:
    listener = HttpsListenerSettings(public_url="https://login.acme.test", trusted_proxies=("10.0.0.0/8",))
    assert await told(tmp_path / "data", listener, "inner.acme.test") == []


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443", "https://[::1]", "https://localhost"])
async def test_public_url_that_is_no_name_is_told(tmp_path: Path, url: str) -> None:
    [only] = await told(tmp_path / "data", HttpsListenerSettings(public_url=url))
    assert "is no full name" in only


LINKS = DOCUMENT + "applications: [{name: vpn, page_link: shown}, {name: staff, enrol_by_link: true}, {name: other}]\n"


async def told_of_links(data: Path, settings: StartSettings) -> list[str]:
    """What is said of short links."""
    async with opened_at(data, settings) as (office, opened):
        await apply_document(office, text=LINKS)
        return [each["what"] for each in (await check_installation(office, opened))["findings"] if "short links" in each["what"]]


async def test_machine_that_does_not_know_where_the_portal_is_is_told_that_it_gives_out_no_links(tmp_path: Path) -> None:
    inside = HttpsListenerSettings(doors=("health",))
    [only] = await told_of_links(tmp_path / "data", StartSettings(https=inside))
    assert only.startswith("no short links for vpn, staff: ")


@pytest.mark.parametrize(
    "settings",
    [
        StartSettings(),
        StartSettings(https=HttpsListenerSettings(doors=()), server=ServerSettings(portal_url="https://login.acme.test")),
        StartSettings(https=HttpsListenerSettings(doors=()), server=ServerSettings(roles=("delivery",))),
    ],
)
async def test_machine_that_knows_it_or_takes_no_logins_is_well(tmp_path: Path, settings: StartSettings) -> None:
    assert await told_of_links(tmp_path / "data", settings) == []


def test_names_of_a_certificate_cover_hosts_as_browsers_see_it(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(self_signed(datetime.now(UTC), "login.acme.test")[0])
    names = names_of(tmp_path / "a.pem")
    assert names == ("localhost", "login.acme.test", "127.0.0.1", "::1")
    for host in ("LOGIN.acme.test", "localhost", "::1"):
        assert covers(names, host)
    assert covers(["*.acme.test"], "login.acme.test")
    for host in ("acme.test", "a.login.acme.test", "login.acme.test.evil.test"):
        assert not covers(["*.acme.test"], host)
    assert hosts_of("https://login.acme.test:8443/") == {"login.acme.test"}


# --- the brand -----------------------------------------------------------------------------------------------------------


async def test_logo_with_a_script_is_refused_at_apply_and_nothing_changes(office: Office, tmp_path: Path) -> None:
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    logo = tmp_path / "logo.svg"
    logo.write_bytes(SVG.replace(b"<rect", b"<script/><rect"))
    with pytest.raises(SettingsError, match=r"brand\.logo_file: .*<script>"):
        await apply_document(office, text=f"{DOCUMENT}brand: {{logo_file: {logo}}}")
    with pytest.raises(SettingsError, match=r"brand\.hue: .*nearest allowed value is #"):
        await apply_document(office, text=f"{DOCUMENT}brand: {{hue: '#ffd400'}}")
    assert (await load_current(office.storage))[0] == 1
    logo.write_bytes(SVG)
    assert (await apply_document(office, text=f"{DOCUMENT}brand: {{logo_file: {logo}}}"))["applied"]


async def test_dry_run_tells_that_pages_look_otherwise(office: Office) -> None:
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    foreseen = await apply_document(office, text=f"{DOCUMENT}brand: {{name: Acme}}", dry_run=True)
    assert [each["note"] for each in foreseen["touches"] if each["what"].startswith("brand")] == ["how the portal's pages look"]


async def test_exception_of_recovery_that_ends_soon_is_told(tmp_path: Path) -> None:
    async with opened_at(tmp_path / "data", StartSettings()) as (office, opened):
        await apply_document(office, text=weaker(office, 7))
        found = (await check_installation(office, opened))["findings"]
        [only] = [each for each in found if "accept_weaker" in each["what"]]
        assert only["level"] == "warning"
        assert "it ends with" in only["what"]
