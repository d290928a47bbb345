"""Relying parties and how a door finds them."""

from dataclasses import replace

from wardgate.federation.relying_party import Launchpad, NameIdFormat, NameIdRule, RelyingParties, RelyingParty
from wardgate.federation.saml.values import Binding, Endpoint, SpMetadata

NOW = 1_800_000_000_000
WIKI = RelyingParty(
    name="wiki",
    title="Wiki",
    metadata=SpMetadata("https://wiki.acme.test/saml", (Endpoint("https://wiki.acme.test/acs", Binding.POST, 0),)),
    name_id=NameIdRule(NameIdFormat.PERSISTENT),
    name_id_formats=(NameIdFormat.TRANSIENT,),
)


def test_a_party_accepts_its_own_format_and_those_that_it_lists() -> None:
    assert [each for each in NameIdFormat if WIKI.accepts(each)] == [NameIdFormat.PERSISTENT, NameIdFormat.TRANSIENT]
    assert not WIKI.accepts("urn:oasis:names:tc:SAML:2.0:nameid-format:entity")


def test_a_party_has_a_title_in_the_persons_language() -> None:
    titled = replace(WIKI, launchpad=Launchpad(titles={"en": "The wiki", "tr": "Viki"}))
    assert (titled.title_in("tr"), titled.title_in("de"), WIKI.title_in("tr")) == ("Viki", "The wiki", "Wiki")


def test_parties_are_found_by_entity_id_and_by_name() -> None:
    parties = RelyingParties([WIKI])
    assert parties.by_entity_id("https://wiki.acme.test/saml", NOW) is WIKI
    assert parties.by_name("wiki", NOW) is WIKI
    assert parties.by_entity_id("https://wiki.acme.test/SAML", NOW) is None
    assert parties.by_name("Wiki", NOW) is None
    assert (len(parties), list(parties)) == (1, [WIKI])


def test_a_party_whose_metadata_has_run_out_is_not_found() -> None:
    parties = RelyingParties([replace(WIKI, metadata=replace(WIKI.metadata, valid_until=NOW))])
    assert parties.by_name("wiki", NOW - 1) is not None
    assert parties.by_name("wiki", NOW) is None
    assert parties.by_entity_id(WIKI.entity_id, NOW) is None
    assert parties.shown(NOW) == ()
    assert len(list(parties)) == 1


def test_two_parties_with_one_entity_id_are_both_left_out() -> None:
    parties = RelyingParties([WIKI, replace(WIKI, name="thief")])
    assert parties.by_entity_id(WIKI.entity_id, NOW) is None
    assert parties.by_name("wiki", NOW) is None
    assert parties.problems == {
        "wiki": "the entity id is also that of thief",
        "thief": "the entity id is also that of wiki",
    }


def test_what_is_hidden_is_not_on_the_launchpad() -> None:
    parties = RelyingParties(
        [WIKI, replace(WIKI, name="b", metadata=replace(WIKI.metadata, entity_id="b"), launchpad=Launchpad(shown=False))]
    )
    assert parties.shown(NOW) == (WIKI,)
