"""`wardgate relying-party ...`: what operators do with applications that trust our statements."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from tests.unit.cli.conftest import Cli
from tests.unit.federation.parties import ACS, ENTITY_ID, certificate, metadata, pem
from wardgate.certificates import LIFE_DAYS, self_signed

BY_HAND = ("--entity-id", ENTITY_ID, "--acs", ACS)


@pytest.fixture
def wiki(cli: Cli) -> Cli:
    assert cli("relying-party", "add", "wiki", *BY_HAND).code == 0
    return cli


def test_an_application_is_added_by_its_metadata_and_shown(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(metadata(keys=(certificate(),)))
    claims = ("--claim", "mail=mail", "--claim", "https://a.test/?a=login={user_name}@acme.test")
    added = cli("relying-party", "add", "wiki", "--metadata", str(file), *claims, "--sign", "both", "--json").json(
        "relying-party-add"
    )
    assert (added["party"]["claims"], added["party"]["sign"]) == (["mail", "https://a.test/?a=login"], "both")
    assert (added["metadata"], added["party"]["entity_id"]) == ("in the document", ENTITY_ID)
    shown = cli("relying-party", "show", "WIKI", "--json").json("relying-party-show")
    assert shown["party"]["acs"] == [{"url": ACS, "index": 0, "default": True}]
    assert len(shown["party"]["certificates"]["signing"]) == 1
    told = cli("relying-party", "show", "wiki").out
    assert f"responses go to {ACS}" in told
    assert shown["ours"]["entity_id"].endswith("/saml/metadata")
    assert f"our sign in    {shown['ours']['sign_in']}" in told


def test_metadata_comes_by_standard_input_and_the_audit_trail_says_so(cli: Cli) -> None:
    assert cli("relying-party", "add", "wiki", "--metadata", "-", "--reason", "the wiki moves", stdin=metadata()).code == 0
    history = cli("config", "history", "--json").json()
    assert history["versions"][0]["reason"] == "relying-party add wiki: the wiki moves"
    assert history["versions"][0]["changes"]["added"] == ["applications wiki"]


def test_large_metadata_stays_a_file_of_the_server(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(metadata() + f"<!--{'x' * 70_000}-->")
    refused = cli("relying-party", "add", "wiki", "--metadata", str(file))
    assert refused.code == 2
    assert "--metadata-file /etc/wardgate/wiki.xml" in refused.err
    assert cli("relying-party", "add", "wiki", "--metadata-file", str(file)).code == 0


def test_an_application_is_chosen_among_several(cli: Cli) -> None:
    inner = metadata() + metadata("https://blog.acme.test/saml", "https://blog.acme.test/acs")
    several = f'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">{inner}</md:EntitiesDescriptor>'
    refused = cli("relying-party", "add", "wiki", "--metadata", "-", stdin=several)
    assert refused.code == 1
    assert f"in it are {ENTITY_ID}, https://blog.acme.test/saml: choose with --entity-id" in refused.err
    assert cli("relying-party", "add", "wiki", "--metadata", "-", "--entity-id", ENTITY_ID, stdin=several).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "give its metadata (--metadata FILE, https://... or -), or --entity-id and --acs by hand"),
        (("--metadata", "/nowhere/wiki.xml"), 2, "cannot be read"),
        (
            ("--metadata", "https://127.0.0.1:1/saml"),
            3,
            "127.0.0.1 is inside your network, and metadata.allow (--allow) does not name it",
        ),
        (("--metadata", "http://wiki.acme.test/saml"), 2, "must be https://HOST/..."),
        (("--metadata", "-", "--metadata-file", "/x"), 2, "give its metadata once"),
        ((*BY_HAND, "--preset", "wordpress"), 2, "there is no preset 'wordpress'"),
        ((*BY_HAND, "--claim", "mail"), 2, "a claim is written NAME=SOURCE"),
        ((*BY_HAND, "--claim", "mail=nowhere"), 1, "there is no source 'nowhere'"),
        ((*BY_HAND, "--policy", "web"), 1, "no policy has the name 'web'"),
    ],
)
def test_what_cannot_be_added_is_told(cli: Cli, arguments: tuple[str, ...], code: int, told: str) -> None:
    refused = cli("relying-party", "add", "wiki", *arguments, stdin="<x/>")
    assert (refused.code, told in refused.err) == (code, True), refused.err


def test_an_application_is_added_once(wiki: Cli) -> None:
    assert wiki("relying-party", "add", "Wiki", *BY_HAND).code == 4
    assert wiki("relying-party", "show", "blog").code == 1


def test_applications_are_listed_and_removed(wiki: Cli) -> None:
    [listed] = wiki("relying-party", "list", "--json").json("relying-party-list")["relying_parties"]
    assert (listed["name"], listed["entity_id"], listed["metadata"], listed["problem"]) == ("wiki", ENTITY_ID, "by hand", None)
    assert wiki("relying-party", "remove", "wiki", "--json").json("relying-party-remove")["removed"] is True
    assert wiki("relying-party", "list", "--json").json()["relying_parties"] == []


def test_one_that_cannot_be_served_is_found(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(metadata())
    cli("relying-party", "add", "wiki", "--metadata-file", str(file))
    file.unlink()
    tested = cli("relying-party", "test", "wiki", "--json")
    assert tested.code == 1
    [error] = [each for each in tested.json("relying-party-test")["findings"] if each["level"] == "error"]
    assert "relying party wiki is not served" in error["what"]
    assert "cannot be read" in cli("relying-party", "list").out
    assert "relying party wiki is not served" in cli("check").out
    assert cli("check").code == 1


def test_metadata_that_will_end_and_is_not_read_again_is_told_when_it_is_added(cli: Cli) -> None:
    """python3-saml writes an end in two days into its own."""
    added = cli("relying-party", "add", "wiki", "--metadata", "-", stdin=metadata(entity=' validUntil="2090-01-02T00:00:00Z"'))
    assert (added.code, "Its metadata ends on 2090-01-02" in added.err) == (0, True)
    assert "ends on" not in cli("relying-party", "add", "blog", "--entity-id", "https://b.test", "--acs", "https://b.test/acs").err


def test_present_metadata_takes_the_place_of_the_old_and_nothing_else_changes(cli: Cli) -> None:
    old = metadata(entity=' validUntil="2020-01-01T00:00:00Z"')
    cli("relying-party", "add", "wiki", "--metadata", "-", "--claim", "mail=mail", stdin=old)
    other = cli("relying-party", "renew", "wiki", "--metadata", "-", stdin=metadata("https://blog.acme.test/saml"))
    assert (other.code, "does not have this application" in other.err) == (1, True)
    renewed = cli("relying-party", "renew", "wiki", "--metadata", "-", "--json", stdin=metadata(keys=(certificate(),)))
    party = renewed.json("relying-party-renew")["party"]
    assert (party["valid_until"], party["claims"], len(party["certificates"]["signing"])) == (None, ["mail"], 1)
    assert cli("relying-party", "test", "wiki").code == 0
    assert cli("relying-party", "renew", "blog", "--metadata", "-", stdin=metadata()).code == 1


def test_metadata_by_hand_is_renewed_by_a_document_and_not_by_nothing(wiki: Cli) -> None:
    refused = wiki("relying-party", "renew", "wiki")
    assert (refused.code, "it has no address to be read from" in refused.err) == (2, True)
    assert wiki("relying-party", "renew", "wiki", "--metadata", "-", stdin=metadata()).code == 0
    assert wiki("relying-party", "show", "wiki", "--json").json()["metadata"] == "in the document"


def test_metadata_that_has_ended_is_found(cli: Cli) -> None:
    text = metadata(entity=' validUntil="2020-01-01T00:00:00Z"')
    cli("relying-party", "add", "wiki", "--metadata", "-", stdin=text)
    assert "its metadata ended on 2020-01-01" in cli("relying-party", "test", "wiki").out


def test_a_test_tells_what_nobody_can_see_from_here(cli: Cli) -> None:
    cli("relying-party", "add", "crm", *BY_HAND, "--preset", "salesforce")
    tested = cli("relying-party", "test", "crm")
    assert tested.code == 0
    assert "unseen   Whether people can go round us: Prevent login from https://login.salesforce.com" in tested.out
    assert "and not run against it" in tested.out
    assert "the portal has no public_url" in tested.out
    assert "crm has no policy of its own" in tested.out


def test_an_address_that_a_presets_product_never_has_is_told(cli: Cli) -> None:
    cli("relying-party", "add", "mail", *BY_HAND, "--preset", "google-workspace")
    assert (
        f"responses go to {ACS}, which is not how addresses of Google Workspace begin" in cli("relying-party", "test", "mail").out
    )


def test_claims_that_a_preset_needs_are_told(cli: Cli) -> None:
    cli("relying-party", "add", "cloud", *BY_HAND, "--preset", "aws")
    assert "the preset aws needs 'https://aws.amazon.com/SAML/Attributes/Role'" in cli("relying-party", "test", "cloud").out


def test_an_address_that_does_not_answer_is_no_fault(wiki: Cli) -> None:
    wiki("relying-party", "add", "here", "--entity-id", "here", "--acs", "https://localhost:1/acs")
    tested = wiki("relying-party", "test", "here", "--online")
    assert tested.code == 0
    assert "localhost:1 could not be reached from here" in tested.out


# --- preview -----------------------------------------------------------------------------------------------------------


def with_ada(cli: Cli, claims: str) -> None:
    groups = ("--group", "wiki-admins", "--group", "staff")
    cli("user", "add", "ada", "--no-password", "--mail", "ada@acme.test", "--display-name", "Ada Lovelace", *groups)
    document = cli("config", "export").out.replace(f"acs: ['{ACS}']", f"acs: ['{ACS}']\n  claims: {claims}")
    applied = cli("config", "apply", "-", stdin=document)
    assert applied.code == 0, applied.err


def test_a_preview_shows_the_name_the_claims_and_the_assertion(wiki: Cli) -> None:
    with_ada(
        wiki, '{mail: mail, groups: groups, role: {source: groups, map: {"local:wiki-admins": admin}}, who: "{display_name}!"}'
    )
    told = wiki("relying-party", "preview", "wiki", "--user", "ada", "--json").json("relying-party-preview")
    assert {each["name"]: each["values"] for each in told["claims"]} == {
        "mail": ["ada@acme.test"],
        "groups": ["wiki-admins", "staff"],
        "role": ["admin"],
        "who": ["Ada Lovelace!"],
    }
    assert told["met"] is False
    assert told["name_id"]["format"].endswith("persistent")
    shown = wiki("relying-party", "preview", "wiki", "--user", "ada")
    assert "<saml:Assertion" in shown.out
    assert f"<saml:Audience>{ENTITY_ID}</saml:Audience>" in shown.out
    assert "Nobody has met this person yet" in shown.err
    assert "Signature" not in shown.out


def test_a_preview_of_nobody_is_refused(wiki: Cli) -> None:
    assert wiki("relying-party", "preview", "wiki", "--user", "nobody").code == 1
    assert wiki("relying-party", "preview", "blog", "--user", "ada").code == 1


def test_somebody_without_a_name_for_the_application_is_told(wiki: Cli) -> None:
    wiki("user", "add", "eve", "--no-password")
    wiki(
        "relying-party",
        "add",
        "mail",
        "--entity-id",
        "m",
        "--acs",
        "https://accounts.google.com/samlrp/1/acs",
        "--preset",
        "google-workspace",
    )
    assert "eve has nothing to be named by there" in wiki("relying-party", "preview", "mail", "--user", "eve").err


# --- keys --------------------------------------------------------------------------------------------------------------


def test_the_first_key_signs_and_the_next_one_waits(cli: Cli) -> None:
    first = cli("relying-party", "roll-key", "--kind", "p256", "--json").json("relying-party-roll-key")["key"]
    assert (first["name"], first["state"]) == ("p256-1", "signs")
    rolled = cli("relying-party", "roll-key", "--kind", "p256")
    assert "Key p256-2 is published now and signs from" in rolled.out
    listed = cli("relying-party", "keys", "--json").json("relying-party-keys")["keys"]
    shown = cli("relying-party", "keys", "--pem").out
    assert shown == "".join(key["certificate"]["pem"] for key in listed if key["state"] != "old")
    assert [(key["name"], key["state"]) for key in listed] == [("p256-1", "signs"), ("p256-2", "next")]
    assert listed[0]["published_until"] is not None
    again = cli("relying-party", "roll-key", "--kind", "p256")
    assert (again.code, "p256-2 is published already" in again.err) == (4, True)


def test_a_key_is_replaced_at_once(cli: Cli) -> None:
    cli("relying-party", "roll-key", "--kind", "p256")
    cli("relying-party", "roll-key", "--kind", "p256", "--notice", "0", "--stay", "0")
    listed = cli("relying-party", "keys", "--json").json()["keys"]
    assert [(key["name"], key["state"]) for key in listed] == [("p256-1", "old"), ("p256-2", "signs")]
    assert cli("relying-party", "roll-key", "--bits", "1024").code == 2


def test_a_change_of_keys_is_in_the_audit_trail(cli: Cli) -> None:
    cli("relying-party", "roll-key", "--kind", "p256")
    found = cli("audit", "search", "--kind", "federation:key:made", "--json").json()
    assert len(found["events"]) == 1


def test_certificates_of_an_application_that_end_are_told(cli: Cli, tmp_path: Path) -> None:
    ended = pem(_ended())
    (tmp_path / "old.pem").write_text(ended)
    document = cli("config", "export").out
    listed = "".join(f"      {line}\n" for line in ended.splitlines())
    more = (
        f"applications:\n- name: wiki\n  kind: saml\n  entity_id: {ENTITY_ID}\n  acs: ['{ACS}']\n  certificates:\n    - |\n{listed}"
    )
    assert cli("config", "apply", "-", stdin=f"{document}\n{more}").code == 0
    assert "a certificate of its metadata ended on 2021-01-01" in cli("relying-party", "test", "wiki").out


def _ended() -> bytes:
    made, _ = self_signed(datetime(2021, 1, 1, tzinfo=UTC) - timedelta(days=LIFE_DAYS))
    return load_pem_x509_certificate(made).public_bytes(Encoding.DER)
