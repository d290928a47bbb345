"""Assesses a login: reads the person's habits, compares, and says what a grant has to remember.

Built once for a version of the configuration. Where neither scores nor countries are configured there is none of it, and a login
costs nothing more.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.clock import to_ms
from wardgate.crypto import KeyRing
from wardgate.risk import habits
from wardgate.risk.carried import Lesson, carry, lessons
from wardgate.risk.habits import COUNTRY, DEVICE, HOUR, LOGIN, PLACE, Habits, Keys
from wardgate.risk.mmdb import CountryTable
from wardgate.risk.networks import Address, NetworkList, is_local, network_of, parse_address, parse_list, parse_network
from wardgate.risk.scoring import Assessment, Circumstances, Known, assess
from wardgate.risk.settings import ReputationSettings, RiskSettings
from wardgate.risk.sources import MAX_FILE_BYTES, MAX_LIST_BYTES, Watched
from wardgate.storage.port import Operation, Reader, Row
from wardgate.values import quick_value

MAX_DEVICE_CHARS: Final = 200


@quick_value
class Seen:
    """How a login comes, as a door tells it. `binding`: the NAS or application that asks, which stands for a place without address.

    `failures`: wrong proofs of this person since the last login that succeeded.
    """

    client: str | None
    binding: str
    device: Mapping[str, str]
    trusted_device: bool = False
    failures: int = 0


@quick_value
class Assessed:
    """What is known of a login before policy decides. `carried`: for its grant; empty while risk is off."""

    country: str = ""
    assessment: Assessment | None = None
    carried: str = ""

    @property
    def band(self) -> str:
        """The band; empty while risk is off."""
        return self.assessment.band if self.assessment is not None else ""


NOT_ASSESSED: Final = Assessed()


def failures_in(brake: Row | None, now_ms: int) -> int:
    """Wrong proofs of a person since the last login that succeeded, by the row of his brake."""
    if brake is None:
        return 0
    failures, until = brake["failures"], brake["expires_at"]
    return failures if isinstance(failures, int) and isinstance(until, int) and until > now_ms else 0


def assessor_for(settings: RiskSettings) -> "Assessor | None":
    """None where neither scores nor countries are configured."""
    return Assessor(settings) if settings.enabled or settings.country_file is not None else None


class Assessor:
    """The settings of risk with the files that they name. Reads the files when it is built, and on `refresh`."""

    def __init__(self, settings: RiskSettings) -> None:
        self.settings = settings
        self._zone = ZoneInfo(settings.time_zone)
        self._countries: Watched[CountryTable] | None = None
        if settings.country_file is not None:
            self._countries = Watched(settings.country_file, lambda content: (CountryTable(content), []), MAX_FILE_BYTES)
        lists = settings.reputation if settings.enabled else ()
        self._lists = tuple((each, *_sources(each)) for each in lists)
        self.refresh()

    def refresh(self) -> None:
        """Look whether a file has changed. Blocks: not for the event loop."""
        for source in self._files():
            source.look()

    def problems(self) -> list[tuple[str, str]]:
        """The files that cannot be used, or not whole, each with why."""
        return [(each.path, each.problem) for each in self._files() if each.problem is not None]

    def _files(self) -> list[Watched[CountryTable] | Watched[NetworkList]]:
        found: list[Watched[CountryTable] | Watched[NetworkList]] = [] if self._countries is None else [self._countries]
        return found + [file for _, _, file in self._lists if file is not None]

    # --- a login -------------------------------------------------------------------------------------------------

    async def assess(self, storage: Reader, ring: KeyRing, subject_id: str, seen: Seen, now: datetime) -> Assessed:
        """What is known of this login. Reads the habits of its person, in one go; writes nothing."""
        address = parse_address(seen.client) if seen.client else None
        country = self.country(address)
        if not self.settings.enabled:
            return Assessed(country)
        place = network_of(address) if address is not None else seen.binding
        device = _device(seen.device)
        keys = habits.keys_of(ring, subject_id, place, device, country, self.hour_of_week(now))
        rows = await storage.read(habits.asked(subject_id, keys, self.settings.remembered))
        found = habits.found(rows)
        circumstances = Circumstances(
            place=place,
            device=device,
            trusted_device=seen.trusted_device,
            country=country,
            failures=seen.failures,
            listed=self._listed(address),
        )
        assessment = assess(self.settings, circumstances, _known(found, keys))
        return Assessed(country, assessment, carry(assessment, _due(found, keys, to_ms(now))))

    async def remember(self, storage: Reader, ring: KeyRing, subject_id: str, carried: str, now: datetime) -> tuple[Operation, ...]:
        """What a grant has to write of what its login carried. Reads only where something is new."""
        now_ms, unit, new = to_ms(now), list[Operation](), list[str]()
        for lesson in lessons(carried):
            if lesson.kind == LOGIN:
                unit.append(habits.learn_login(subject_id, now_ms))
                continue
            key = lesson.key or habits.fingerprint(ring, subject_id, HOUR, str(self.hour_of_week(now)))
            unit.append(habits.learn(subject_id, lesson.kind, key, now_ms))
            new += [lesson.kind] if lesson.is_new else []
        room = await habits.make_room(storage, subject_id, new, self.settings.remembered) if new else []
        # Room first: a value that is known by now is written again, not taken away.
        return (*room, *unit)

    def country(self, address: Address | None) -> str:
        """The country of an address; empty where it is not known, or no file is given."""
        table = self._countries.value if self._countries is not None else None
        if table is None or address is None or is_local(address):
            return ""
        return table.country(address)

    def country_of(self, address: str) -> str:
        """The same for an address as it was written down."""
        return self.country(parse_address(address))

    def place_of(self, address: str, language: str) -> str | None:
        """City and country of an address, for people; empty where it is of no place that is known. None: no file is given."""
        if self._countries is None:
            return None
        found, table = parse_address(address), self._countries.value
        return "" if table is None or found is None or is_local(found) else table.place(found, language)

    def hour_of_week(self, now: datetime) -> int:
        """Which hour of the week the clocks of the configured zone show: 0 is Monday after midnight."""
        local = now.astimezone(self._zone)
        return local.weekday() * 24 + local.hour

    def _listed(self, address: Address | None) -> tuple[str, int] | None:
        if address is None:
            return None
        on = [
            (each.name, each.points)
            for each, own, file in self._lists
            if own.holds(address) or (file is not None and file.value is not None and file.value.holds(address))
        ]
        return max(on, key=lambda entry: entry[1], default=None)


def _sources(settings: ReputationSettings) -> tuple[NetworkList, Watched[NetworkList] | None]:
    own = NetworkList(map(parse_network, settings.cidr))
    return own, Watched(settings.file, parse_list, MAX_LIST_BYTES) if settings.file is not None else None


def _device(told: Mapping[str, str]) -> str:
    """A machine by its host name and system, however they are written; empty where neither is told."""
    hostname, system = told.get("hostname", ""), told.get("os", "")
    return " ".join(f"{hostname} {system}".casefold().split())[:MAX_DEVICE_CHARS]


def _known(found: Habits, keys: Keys) -> Known:
    return Known(
        logins=found.logins,
        place=found.times(PLACE, keys.place) > 0,
        device=found.times(DEVICE, keys.device) > 0,
        country=found.times(COUNTRY, keys.country) > 0,
        countries=found.countries > 0,
        hour=any(found.times(HOUR, key) for key in keys.hours),
    )


def _due(found: Habits, keys: Keys, now_ms: int) -> list[Lesson]:
    values = [(PLACE, keys.place), (DEVICE, keys.device)] + ([(COUNTRY, keys.country)] if keys.country is not None else [])
    due = [Lesson(kind, key, not found.times(kind, key)) for kind, key in values if found.is_due(kind, key, now_ms)]
    if found.is_due(HOUR, keys.hours[0], now_ms):
        due.append(Lesson(HOUR))
    if found.login_is_due(now_ms):
        due.append(Lesson(LOGIN))
    return due
