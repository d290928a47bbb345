"""What the doors of this room run on, as it is now in one worker: who trusts us, and which of our keys sign."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing
from wardgate.errors import SettingsError
from wardgate.federation.building import build_party, metadata_by_hand
from wardgate.federation.checking import inline_metadata, read_metadata
from wardgate.federation.pem_files import read_metadata_file
from wardgate.federation.relying_party import NOBODY, KeyKind, RelyingParties, RelyingParty
from wardgate.federation.saml.values import SpMetadata
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.federation.signing_keys import SigningKeys, load_keys, make_first_keys
from wardgate.federation.stored_metadata import Stored, load_stored, signers, usable
from wardgate.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Configured:
    """What the document in force says of relying parties. `icons`: where we serve the picture of each, by its name."""

    applications: Sequence[SamlApplicationSettings] = ()
    icons: Mapping[str, str] | None = None


class Federation:
    """Kept up to date by the worker; doors take `parties` and `keys` anew for each request."""

    def __init__(
        self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock, configured: Callable[[], Configured] = Configured
    ) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._configured = configured
        self._loading = asyncio.Lock()
        self.parties: RelyingParties = NOBODY
        self.keys = SigningKeys()

    async def begin(self) -> None:
        """Load what there is, and make the first key of every kind that somebody needs. Raises WardgateError."""
        await self.refresh()
        if await make_first_keys(self._storage, self._ring(), self._clock, self._kinds()):
            await self.refresh()

    async def refresh(self) -> None:
        """Take up what document, files and storage say now. Raises WardgateError; then everything stays as it was."""
        async with self._loading:
            configured = self._configured()
            stored = await load_stored(self._storage) if any(_by_url(each) for each in configured.applications) else {}
            keys = await load_keys(self._storage, self._ring())
            # In a thread: reading hundreds of documents takes a second, and logins go on beside it.
            self.parties = await asyncio.to_thread(assemble, configured, stored)
            self.keys = keys

    def certificate_ends(self) -> Mapping[tuple[str, ...], float]:
        """When the certificates of the keys that are published end, in seconds, by the key's name."""
        now_ms = to_ms(self._clock.now())
        return {(key.name,): key.ends_at / 1000 for key in self.keys.published(now_ms)}

    def metadata_ends(self) -> Mapping[tuple[str, ...], float]:
        """When the metadata of applications ends, in seconds, by the application's name."""
        ends = {party.name: party.metadata.valid_until for party in self.parties}
        return {(name,): until / 1000 for name, until in ends.items() if until is not None}

    def _kinds(self) -> set[KeyKind]:
        """RSA always: our metadata is read before the first application is there."""
        return {KeyKind.RSA, *(KeyKind(each.key) for each in self._configured().applications)}


def assemble(configured: Configured, stored: Mapping[str, Stored]) -> RelyingParties:
    """All relying parties. One that cannot be built is left out, with its problem: it keeps nobody from the others."""
    icons = configured.icons or {}
    found: list[RelyingParty] = []
    problems: dict[str, str] = {}
    for settings in configured.applications:
        try:
            found.append(build_party(settings, metadata_of(settings, stored.get(settings.name)), icons.get(settings.name, "")))
        except SettingsError as error:
            problems[settings.name] = error.message
    return RelyingParties(found, problems)


def metadata_of(settings: SamlApplicationSettings, stored: Stored | None) -> SpMetadata:
    """What an application says of itself, wherever that stands. Raises SettingsError."""
    metadata = settings.metadata
    if metadata is None:
        return metadata_by_hand(settings)
    if metadata.url is not None:
        return usable(settings, stored)
    if metadata.text is not None and metadata.signed_by is None:
        return inline_metadata(metadata.text, settings.entity_id or "")
    document = metadata.text.encode() if metadata.text is not None else read_metadata_file(metadata.file or "")
    try:
        return read_metadata(document, settings.entity_id or "", signers(metadata))
    except SettingsError as error:
        raise SettingsError(f"{metadata.file or 'the metadata'} {error.message}") from error


def _by_url(settings: SamlApplicationSettings) -> bool:
    return settings.metadata is not None and settings.metadata.url is not None
