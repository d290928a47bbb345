"""What a preset is: the defaults for one maker's product, and what has to be set there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wardgate.federation.settings import ClaimSettings, NameIdSettings, NameIdWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Defaults, all of which the document may say otherwise.

    `follows_metadata`: whether another kind of name is told where the application's metadata does not have the preset's.
    `needs`: claims that only the operator can give, each with why. `known_consumers`: how the addresses of its consumers
    begin, where
    all customers have the same. `there`: what to set at the product. `own_login`: how its own sign-in is turned off there, without
    which people go round us; that cannot be seen from here. `source`: what it was written from.
    """

    name: str
    title: str
    name_id: NameIdSettings
    name_id_formats: tuple[NameIdWord, ...] = ()
    follows_metadata: bool = False
    claims: Mapping[str, str | ClaimSettings] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    sign: Literal["assertion", "response", "both"] = "assertion"
    encrypt: Literal["none", "aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc"] = "none"
    known_consumers: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    own_login: str = ""
    source: str = ""
