"""What is known about a login when policy decides."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from wardgate.values import quick_value


@quick_value
class Facts:
    """Everything a condition can ask about.

    `groups` are qualified: `directory:group` and `realm:group`, lower case, each by all its names (see `policy.groups`). `client`
    is the address of the person's machine as the NAS tells it, or None. `proved_elsewhere`: factors that the NAS's own
    configuration vouches for. `attributes`: by name in lower case. `device`: what the NAS tells about the person's machine, by our
    keys (`os`, `hostname`, `app_version`, `user_domain`): hearsay. `known_device`: one that the person told us to trust and that
    proved itself with what we gave it, never what a NAS or a client says. `country`: of the address, two letters in lower case, or
    empty where it is not known. `risk`: the band, `safe`, `low`, `moderate` or `high`; empty while risk is off. `renew`: of the
    enrolled factors those that have to be set anew.
    """

    goal: str
    application: str
    door: str
    realm: str
    directory: str
    user: str
    at: datetime
    nas: str = ""
    nas_identifier: str = ""
    client: str | None = None
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    enrolled: frozenset[str] = frozenset()
    proved_elsewhere: frozenset[str] = frozenset()
    application_kind: str = "radius"
    device: Mapping[str, str] = field(default_factory=dict)
    known_device: bool = False
    country: str = ""
    risk: str = ""
    renew: frozenset[str] = frozenset()
