"""Turns a version of the configuration document into what the rooms run on: realms, applications, NAS, gateways.

Nothing is taken over in parts: a version that cannot be built whole raises SettingsError and the one before stays in force.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wardgate.brand.looks import PLAIN, BrandFile, Looks, build_looks, shown_picture
from wardgate.brand.settings import merged
from wardgate.clock import Clock
from wardgate.config.document import Document, map_secrets
from wardgate.config.reference import SecretSetting
from wardgate.config.secrets import resolve
from wardgate.crypto import KeyRing
from wardgate.delivery.kind import GatewaySettings, Resolve
from wardgate.delivery.port import Gateway
from wardgate.delivery.registry import build_gateway
from wardgate.directory.active_directory.settings import ActiveDirectorySettings
from wardgate.directory.kind import DirectoryParts, DirectorySettings
from wardgate.directory.port import Closing, Directory, ServerState, ServerTelling
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.registry import build_directory
from wardgate.directory.settings import realm_words
from wardgate.engine.runtime import PRODUCT, Application, EngineConfiguration, TicketPlace
from wardgate.engine.settings import AnyApplicationSettings, mark_of, with_portal
from wardgate.errors import SettingsError
from wardgate.factors import KINDS, STRONG_KINDS, USUAL_KINDS
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.federation.standing import Configured
from wardgate.kba.asking import Questioner
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kerberos.port import Service
from wardgate.passwords import PasswordHasher
from wardgate.policy.rules import compile_networks, compile_policy, default_policy
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.nas import Nas, build_nas
from wardgate.radius.nas_table import NasTable
from wardgate.radius.release import Release, compile_release, compile_vendor_release
from wardgate.radius.server import RadiusTables
from wardgate.radius.vendors import vendor
from wardgate.risk.assessing import Assessor, assessor_for
from wardgate.risk.settings import RiskSettings
from wardgate.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Runtime:
    """One version of the configuration, ready to run."""

    version: int
    document: Document
    engine: EngineConfiguration
    radius: RadiusTables
    gateways: tuple[Gateway, ...]
    directories: tuple[Directory, ...] = ()
    looks: Looks = PLAIN
    relying_parties: Configured = field(default_factory=Configured)


@dataclass(frozen=True, slots=True)
class _Realms:
    """What a directory is told of the realms that ask it: the region of the first, and their names."""

    region: str | None
    words: tuple[str, ...]

    @classmethod
    def of(cls, document: Document, directory: str) -> "_Realms":
        region = next((realm.region for realm in document.realms if directory in realm.directories), None)
        return cls(region, realm_words(document.realms, directory))


class Builder:
    """Builds runtimes. Directories and gateways whose settings did not change are kept, with what they remember."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock, hasher: PasswordHasher) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock
        self._hasher = hasher
        self._directories: dict[str, tuple[DirectorySettings, _Realms, Directory]] = {}
        self._gateways: dict[str, tuple[GatewaySettings, Gateway]] = {}
        self._risk: Assessor | None = None
        # By NAS and application: one that was given to another releases nothing by the rules of the one before.
        self._releases: dict[tuple[str, str], Release] = {}

    def build(self, version: int, document: Document, fresh: bool = False) -> Runtime:
        """The runtime of a version. Raises SettingsError that names what cannot be built; then nothing has changed.

        `fresh`: gateways and directories that hold connections are built anew, because files that their settings name
        (secrets, authorities) may have changed.
        """
        secret = self._resolver(document)
        kept = {
            settings.name: self._directory(settings, _Realms.of(document, settings.name), secret, fresh)
            for settings in document.directories
        }
        directories = {name: directory for name, (_, _, directory) in kept.items()}
        realms = [Realm(settings, tuple(directories[name] for name in settings.directories)) for settings in document.realms]
        known = {} if fresh else self._gateways
        built = {settings.name: (settings, self._gateway(settings, secret, known)) for settings in document.gateways}
        gateways = tuple(gateway for settings, gateway in sorted(built.values(), key=lambda pair: pair[0].order))
        applications = self._applications(document)
        engine = EngineConfiguration(
            version,
            Realms(realms),
            applications,
            codes=document.codes,
            brakes=document.brakes,
            sending=document.sending,
            channels=frozenset(gateway.channel for gateway in gateways),
            risk=self._assessor(document.risk, fresh),
            questioner=self._questioner(document, applications.values()),
            tickets=_ticket_places(document, realms),
            notices=document.notices,
            brands=_brands(document),
        )
        radius, looks, icons = self._radius(document, secret, applications), looks_of(document), _icons(document)
        looks = replace(looks, files={**looks.files, **{icon.name: icon for icon in icons.values()}})
        parties = Configured(saml_of(document), {name: icon.address for name, icon in icons.items()})
        runtime = Runtime(version, document, engine, radius, gateways, tuple(directories.values()), looks, parties)
        self._gateways, self._directories, self._risk = built, kept, engine.risk
        self._releases = {(nas.name, nas.application): radius.releases[nas.name] for nas in document.nas}
        return runtime

    def _directory(
        self, settings: DirectorySettings, realms: "_Realms", secret: Resolve, fresh: bool
    ) -> tuple[DirectorySettings, "_Realms", Directory]:
        before = self._directories.get(settings.name)
        # One that holds no connections reads no files: what it remembers survives a reload.
        if before is not None and before[:2] == (settings, realms) and not (fresh and isinstance(before[2], Closing)):
            return before
        parts = DirectoryParts(self._storage, self._hasher, self._clock, secret, realms.region, realms.words)
        return settings, realms, build_directory(settings, parts)

    def _questioner(self, document: Document, applications: Iterable[Application]) -> Questioner | None:
        """None where no policy names challenge questions: then nobody's are read."""
        if not any(each.policy.reads_questions for each in applications):
            return None
        catalogue = compile_catalogue(document.kba, document.questions)
        return Questioner(self._storage, self._ring, self._hasher, self._clock, catalogue)

    def _assessor(self, settings: RiskSettings, fresh: bool) -> Assessor | None:
        """With the files that it has read already, where only they may have changed."""
        if self._risk is None or self._risk.settings != settings:
            return assessor_for(settings)
        if fresh:
            self._risk.refresh()
        return self._risk

    def _gateway(self, settings: GatewaySettings, secret: Resolve, known: Mapping[str, tuple[GatewaySettings, Gateway]]) -> Gateway:
        before = known.get(settings.name)
        return before[1] if before is not None and before[0] == settings else build_gateway(settings, secret, self._clock)

    def _applications(self, document: Document) -> Mapping[str, Application]:
        fallback = default_policy(USUAL_KINDS, STRONG_KINDS)
        policies = {policy.name: compile_policy(policy, KINDS, STRONG_KINDS, document.networks) for policy in document.policies}
        released = {nas.application for nas in document.nas if vendor(nas.vendor).default_release}
        # How groups and attributes are read.
        reading = mark_of(document.directories)

        def application(settings: AnyApplicationSettings) -> Application:
            policy, vendors = policies[settings.policy] if settings.policy else fallback, settings.name in released
            # A relying party is built apart from its application, which it has to know by its own settings.
            if isinstance(settings, SamlApplicationSettings):
                return Application(settings, policy, vendors, settings.claims_mark)
            return Application(settings, policy, vendors, mark_of(settings.name, settings.release, vendors, reading))

        return {settings.name: application(settings) for settings in with_portal(document.applications, _name_of(document))}

    def _radius(self, document: Document, secret: Resolve, applications: Mapping[str, Application]) -> RadiusTables:
        entries = [build_nas(settings, secret(settings.secret)) for settings in document.nas]
        releases = {nas.name: self._release(nas, applications[nas.settings.application]) for nas in entries}
        return RadiusTables(NasTable(entries), releases)

    def _release(self, nas: Nas, application: Application) -> Release:
        before, now = self._releases.get((nas.name, nas.settings.application)), _release(nas, application)
        return now.after(before) if before is not None else now

    def _resolver(self, document: Document) -> Resolve:
        """Resolves a secret of this document by the place where it stands, to which a sealed value is bound."""
        places: dict[int, tuple[str, str]] = {}

        def note(bound_to: str, setting: SecretSetting, path: str) -> SecretSetting:
            places[id(setting)] = (bound_to, path)
            return setting

        map_secrets(document, note)
        return lambda setting: resolve(setting, self._ring(), *places[id(setting)])


def _ticket_places(document: Document, realms: Sequence[Realm]) -> tuple[TicketPlace, ...]:
    """The directories that take Kerberos tickets, in the order of the document, each for the first realm that asks it."""
    named = compile_networks(document.networks)
    found = []
    for settings in document.directories:
        if not isinstance(settings, ActiveDirectorySettings) or settings.kerberos is None:
            continue
        whose = ((realm, each) for realm in realms for each in realm.directories if each.name == settings.name)
        realm, directory = next(whose, (None, None))
        if realm is None or directory is None:
            continue
        kerberos = settings.kerberos
        service = Service(kerberos.full_principal(settings.base), kerberos.keytab.file)
        networks = tuple(network for name in kerberos.networks for network in named[name])
        found.append(TicketPlace(directory, realm, service, networks, kerberos.max_age_s, kerberos.channel == "any"))
    return tuple(found)


def saml_of(document: Document) -> tuple[SamlApplicationSettings, ...]:
    """The applications that trust our SAML statements."""
    return tuple(each for each in document.applications if isinstance(each, SamlApplicationSettings))


def _icons(document: Document) -> Mapping[str, BrandFile]:
    """The pictures of applications, by their names; one that cannot be used is told in the log and not shown."""
    shown = {each.name: shown_picture(each.launchpad.icon_file) for each in saml_of(document)}
    return {name: picture.file for name, picture in shown.items() if picture is not None}


def looks_of(document: Document) -> Looks:
    """The brands of the realms, with the logos as their files are now."""
    default = next((realm.name for realm in document.realms if realm.default), "")
    return build_looks(document.brand, {realm.name: realm.brand for realm in document.realms}, default)


def _name_of(document: Document) -> str:
    """What people call us before they signed in."""
    own = next((realm.brand for realm in document.realms if realm.default), None)
    return merged(document.brand, own).name or PRODUCT


def _brands(document: Document) -> Mapping[str, str]:
    """The same for each realm, for what is sent to its people."""
    named = {realm.name: merged(document.brand, realm.brand).name or PRODUCT for realm in document.realms}
    return {**named, "": _name_of(document)}


def _release(nas: Nas, application: Application) -> Release:
    """The application's own rules; the vendor's where it has none."""
    own = application.settings.release
    try:
        rules = compile_release(own, BUILT_IN) if own else compile_vendor_release(nas.profile.default_release, BUILT_IN)
        return replace(rules, mark=application.mark)
    except SettingsError as error:
        raise SettingsError(f"applications.{nas.settings.application}.{error.message}") from error


def servers_up(directories: Sequence[Directory]) -> Mapping[tuple[str, ...], float]:
    """1 or 0 by directory and server, of the directories that know their servers."""
    return {
        (directory.name, each.server): float(each.state is ServerState.UP)
        for directory in directories
        if isinstance(directory, ServerTelling)
        for each in directory.servers()
    }
