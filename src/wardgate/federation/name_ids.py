"""What a relying party knows a person by. SAML core section 8.3.

The persistent name is a keyed fingerprint of the party and our own subject id: two applications cannot compare theirs, a rename
changes nothing, and a new person with an old name is somebody else. A transient one is chance, new each time.
"""

import secrets
from typing import Final

from wardgate.crypto import KeyRing
from wardgate.federation.claims import Person, Values, is_xml_text
from wardgate.federation.relying_party import NameIdFormat, RelyingParty
from wardgate.federation.saml.values import NameId

# Core section 8.3.7: at most 256 characters; of the other formats no more is useful.
MAX_NAME_CHARS: Final = 256
TRANSIENT_BYTES: Final = 20


def persistent_name(ring: KeyRing, entity_id: str, subject_id: str) -> str:
    """The name that only this party knows the person by."""
    return ring.mac("saml-persistent-name", entity_id.encode(), subject_id.encode()).hex()


def name_for(party: RelyingParty, wanted: NameIdFormat, person: Person, issuer: str) -> NameId | None:
    """The name in this format; None where the person has nothing to be named by."""
    if wanted is NameIdFormat.PERSISTENT:
        return NameId(person.subject, wanted.value, issuer, party.entity_id)
    if wanted is NameIdFormat.TRANSIENT:
        return NameId(f"_{secrets.token_hex(TRANSIENT_BYTES)}", wanted.value, issuer, party.entity_id)
    rule = party.name_id
    if wanted is rule.format and rule.values != Values():
        # Nothing stands in for a value that he does not have: his user name may be somebody else's number.
        value = next(iter(rule.values.of(person)), "")
    else:
        value = person.mail if wanted is NameIdFormat.EMAIL else person.user_name
    if not value or len(value) > MAX_NAME_CHARS or not is_xml_text(value):
        return None
    return NameId(value, wanted.value)
