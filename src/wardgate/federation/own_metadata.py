"""Our own metadata, as an address: what an application reads to trust us. It is the same for everybody, and signed."""

import secrets
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.federation.door import METADATA_PATH, SLO_PATH, SSO_PATH, FederationDoor, NoSigningKey
from wardgate.federation.relying_party import NameIdFormat
from wardgate.federation.saml.metadata import OwnMetadata, own_metadata
from wardgate.texts import LANGUAGES
from wardgate.web.access import require_known_host

MEDIA_TYPE: Final = "application/samlmetadata+xml"
# How long whoever reads it may go by it: a change of keys is announced for longer (`signing_keys`).
GOOD_FOR_MS: Final = 7 * 24 * 3_600_000
CACHED_S: Final = 6 * 3600
ID_BYTES: Final = 16


class MetadataPages:
    """The document at `/saml/metadata`."""

    def __init__(self, door: FederationDoor) -> None:
        self._door = door

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(METADATA_PATH, self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The signed document; 503 in the moment after the very first start in which no key is made yet."""
        require_known_host(request, self._door.browser.context.hosts)
        if not self._door.trust.keys().published(self._door.now_ms()):
            raise HTTPException(503, headers={"retry-after": "5"})
        return Response(self.document(), media_type=MEDIA_TYPE)

    def document(self) -> bytes:
        """The metadata as it is now. Raises NoSigningKey."""
        now_ms = self._door.now_ms()
        published = self._door.trust.keys().published(now_ms)
        if not published:
            raise NoSigningKey("no key signs yet")
        brand = self._door.browser.configuration().brand_of("")
        content = OwnMetadata(
            entity_id=self._door.entity_id,
            document_id=f"_{secrets.token_hex(ID_BYTES)}",
            valid_until=now_ms + GOOD_FOR_MS,
            cache_duration_s=CACHED_S,
            certificates=tuple(each.certificate for each in published),
            sign_in_url=self._door.origin + SSO_PATH,
            logout_url=self._door.origin + SLO_PATH,
            name_id_formats=tuple(each.value for each in NameIdFormat),
            display_names=tuple((language, brand) for language in LANGUAGES),
        )
        return own_metadata(content, published[0].signer)
