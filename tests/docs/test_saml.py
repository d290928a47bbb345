"""The page about SAML's protocol names every limit, with the figures that hold; refusals are in the generated reference."""

from pathlib import Path

from wardgate.federation.saml import bindings, keys, requests, sp_metadata, xml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/federation/saml.md").read_text(encoding="utf-8")


def test_the_limits_on_the_page_are_those_that_hold() -> None:
    message = xml.MESSAGE
    assert (message.octets, bindings.MAX_QUERY_OCTETS) == (64 * 1024, 64 * 1024)
    for said in (
        f"{message.depth} levels, {message.elements:,} elements",
        f"{message.attributes} attributes each, {message.attribute_chars:,} characters an attribute",
        f"up to {bindings.MAX_RELAY_STATE_OCTETS:,} octets of UTF-8",
        f"up to {requests.SKEW_MS // 60_000} minutes ahead and {requests.MAX_AGE_MS // 60_000} minutes old",
        f"RSA of {keys.MIN_RSA_BITS} to {keys.MAX_RSA_BITS} bits",
        f"{xml.METADATA.octets // 2**20} MiB, {sp_metadata.MAX_ENTITIES:,} entities",
    ):
        assert said in PAGE, said
