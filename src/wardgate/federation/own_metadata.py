"""Our own metadata, as an address: what an application reads to trust us. It is the same for everybody, and signed."""

import secrets
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.federation.door import METADATA_PATH, SLO_PATH, SSO_PATH, FederationDoor, NoSigningKey
from wardgate.federation.relying_party import NameIdFormat
from wardgate.federation.saml.metadata import OwnMetadata, own_metadata
from wardgate.federation.saml.values import Signer
from wardgate.texts import LANGUAGES
from wardgate.web.access import require_known_host

MEDIA_TYPE: Final = "application/samlmetadata+xml"
# How long whoever reads it may go by it: a change of keys is announced for longer (`signing_keys`).
GOOD_FOR_MS: Final = 7 * 24 * 3_600_000
CACHED_S: Final = 6 * 3600
ID_BYTES: Final = 16
# Anybody may ask, and a signature costs more than everything else about it: one serves all who ask within a minute.
KEPT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last document, what it was made of, and when."""

    about: tuple[str, str, tuple[bytes, ...]]
    made_at: int
    document: bytes


class MetadataPages:
    """The document at `/saml/metadata`."""

    def __init__(self, door: FederationDoor) -> None:
        self._door = door
        self._kept: _Kept | None = None

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
        """The metadata as it is now, at most a minute old unless keys or settings changed. Raises NoSigningKey."""
        now_ms = self._door.now_ms()
        published = self._door.trust.keys().published(now_ms)
        if not published:
            raise NoSigningKey("no key signs yet")
        brand = self._door.browser.configuration().brand_of("")
        about = (self._door.entity_id, brand, tuple(each.certificate for each in published))
        kept = self._kept
        # A clock that was put back does not make it last longer.
        if kept is None or kept.about != about or not kept.made_at <= now_ms < kept.made_at + KEPT_MS:
            kept = self._kept = _Kept(about, now_ms, self._signed(about, published[0].signer, now_ms))
        return kept.document

    def _signed(self, about: tuple[str, str, tuple[bytes, ...]], signer: Signer, now_ms: int) -> bytes:
        entity_id, brand, certificates = about
        content = OwnMetadata(
            entity_id=entity_id,
            document_id=f"_{secrets.token_hex(ID_BYTES)}",
            valid_until=now_ms + GOOD_FOR_MS,
            cache_duration_s=CACHED_S,
            certificates=certificates,
            sign_in_url=self._door.origin + SSO_PATH,
            logout_url=self._door.origin + SLO_PATH,
            name_id_formats=tuple(each.value for each in NameIdFormat),
            display_names=tuple((language, brand) for language in LANGUAGES),
        )
        return own_metadata(content, signer)
