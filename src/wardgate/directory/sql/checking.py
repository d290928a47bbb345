"""What of a SQL directory's settings cannot work, told before anything is asked."""

from typing import Final
from zoneinfo import ZoneInfoNotFoundError

from wardgate.directory.kind import setting_error
from wardgate.directory.sql.address import Address, AddressFault, Engine, read_address
from wardgate.directory.sql.engines.connecting import sslmode_of
from wardgate.directory.sql.rows import columns_used
from wardgate.directory.sql.settings import SqlSettings
from wardgate.directory.sql.statements import OWN, StatementFault, own_statement, quoted, quoted_table
from wardgate.directory.sql.values import zone_of
from wardgate.errors import SettingsError

MAX_CONNECTIONS: Final = 64
MAX_COLUMNS: Final = 100
MAX_CACHE_S: Final = 3_600
MAX_GRACE_S: Final = 7 * 86_400
MAX_WORD_CHARS: Final = 32


def check_settings(settings: SqlSettings) -> None:
    """Raises SettingsError that names the setting."""
    address = checked_address(settings)
    _transport(settings, address)
    _columns(settings, address.engine)
    _statements(settings)
    _numbers(settings)
    try:
        zone_of(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise setting_error(settings.name, "time_zone", "is not a time zone; write one such as Europe/Istanbul") from error
    for name in ("true_value", "false_value"):
        if not len(getattr(settings, name)) <= MAX_WORD_CHARS:
            raise setting_error(settings.name, name, f"has more than {MAX_WORD_CHARS} characters")


def checked_address(settings: SqlSettings) -> Address:
    """The address of the database. Raises SettingsError."""
    try:
        return read_address(settings.url)
    except AddressFault as error:
        raise setting_error(settings.name, "url", str(error)) from error


def _transport(settings: SqlSettings, address: Address) -> None:
    for host in address.hosts:
        in_clear = sslmode_of(settings, host) == "disable" and not host.is_here
        if in_clear and not settings.allow_clear:
            raise setting_error(
                settings.name, "sslmode", f"password hashes would pass in clear to {host}: use TLS, or set `allow_clear: true`"
            )
    if address.engine is Engine.SQLITE and settings.password is not None:
        raise setting_error(settings.name, "password", "a file of SQLite has none")


def _columns(settings: SqlSettings, engine: Engine) -> None:
    columns = columns_used(settings)
    if len(columns) > MAX_COLUMNS:
        raise setting_error(settings.name, "columns", f"names more than {MAX_COLUMNS} columns")
    for column in columns:
        try:
            quoted(column, engine)
        except StatementFault as error:
            raise setting_error(settings.name, "columns", f"{column[:64]!r} {error}") from error
    if settings.table is None:
        if settings.find_statement is None or settings.get_statement is None:
            raise setting_error(settings.name, "table", "is needed, unless there are a find_statement and a get_statement")
        return
    try:
        quoted_table(settings.table, engine)
    except StatementFault as error:
        raise setting_error(settings.name, "table", str(error)) from error


def _statements(settings: SqlSettings) -> None:
    for name in OWN:
        text = getattr(settings, name)
        if text is None:
            continue
        try:
            own_statement(text, name)
        except StatementFault as error:
            raise setting_error(settings.name, name, str(error)) from error
    columns = settings.columns
    for kind, written in (("phone", settings.write_phone_statement), ("mail", settings.write_mail_statement)):
        if kind in settings.write_contacts and written is None and (getattr(columns, kind) is None or settings.table is None):
            raise setting_error(settings.name, "write_contacts", f"to write it, `{kind}` needs a column, or write_{kind}_statement")
    if settings.lock_threshold and columns.failures is None:
        raise setting_error(settings.name, "lock_threshold", "needs the column `failures`")
    if settings.password_rules.max_age_days and columns.password_changed_at is None:
        raise setting_error(settings.name, "password_rules.max_age_days", "needs the column `password_changed_at`")


def _numbers(settings: SqlSettings) -> None:
    rules = settings.password_rules
    for name, value, least, most in (
        ("connections", settings.connections, 1, MAX_CONNECTIONS),
        ("verified_cache_s", settings.verified_cache_s, 0, MAX_CACHE_S),
        ("down_grace_s", settings.down_grace_s, 0, MAX_GRACE_S),
        ("lock_threshold", settings.lock_threshold, 0, 1_000_000),
        ("timeouts.connect_s", settings.timeouts.connect_s, 0.1, 60),
        ("timeouts.operation_s", settings.timeouts.operation_s, 0.1, 60),
        ("password_rules.min_length", rules.min_length, 1, 256),
        ("password_rules.max_length", rules.max_length, rules.min_length, 1024),
        ("password_rules.max_age_days", rules.max_age_days, 0, 36_500),
    ):
        if not least <= value <= most:
            raise range_error(settings, name, least, most)


def range_error(settings: SqlSettings, name: str, least: float, most: float) -> SettingsError:
    """A number out of its range."""
    return setting_error(settings.name, name, f"must be between {least:g} and {most:g}")
