"""What is wrong with the settings that all LDAP directories share, said before anything is connected."""

import math

from wardgate.directory.kind import setting_error
from wardgate.directory.ldap.endpoints import parse_server
from wardgate.directory.ldap.names import parse_dn
from wardgate.directory.ldap.settings import LdapSettings
from wardgate.errors import MessageError

MAX_SERVERS = 32
MAX_CONNECT_S = 30.0
MAX_OPERATION_S = 120.0
MAX_CONNECTIONS = 256
MAX_VERIFIED_CACHE_S = 3_600
MAX_DOWN_GRACE_S = 7 * 24 * 3_600


def check(settings: LdapSettings) -> None:
    """Raises SettingsError naming the setting. Touches neither network nor files."""
    if not 0 < len(settings.servers) <= MAX_SERVERS:
        raise setting_error(settings.name, "servers", f"takes 1 to {MAX_SERVERS} addresses")
    for url in settings.servers:
        try:
            parse_server(url)
        except ValueError as error:
            raise setting_error(settings.name, "servers", str(error)) from error
    _check_dn(settings, "base", settings.base, may_be_empty=True)
    _check_dn(settings, "bind.dn", settings.bind.dn, may_be_empty=False)
    if settings.ca_file is not None and not settings.ca_file:
        raise setting_error(settings.name, "ca_file", "is empty; leave it out to trust the system's authorities")
    _check_range(settings, "timeouts.connect_s", settings.timeouts.connect_s, 0.1, MAX_CONNECT_S)
    _check_range(settings, "timeouts.operation_s", settings.timeouts.operation_s, 0.1, MAX_OPERATION_S)
    _check_range(settings, "connections", settings.connections, 1, MAX_CONNECTIONS)
    _check_range(settings, "verified_cache_s", settings.verified_cache_s, 0, MAX_VERIFIED_CACHE_S)
    _check_range(settings, "down_grace_s", settings.down_grace_s, 0, MAX_DOWN_GRACE_S)


def _check_dn(settings: LdapSettings, setting: str, value: str, may_be_empty: bool) -> None:
    try:
        steps = parse_dn(value)
    except MessageError as error:
        raise setting_error(settings.name, setting, str(error)) from error
    if not steps and not may_be_empty:
        raise setting_error(settings.name, setting, "is empty: a bind without a name checks nothing")


def _check_range(settings: LdapSettings, setting: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise setting_error(settings.name, setting, f"takes {least:g} to {most:g}, not {value:g}")
