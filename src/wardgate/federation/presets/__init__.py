"""Presets: one file for each maker's product, with the defaults that its documents ask for. To add one: its file, and a line
here."""

from typing import Final

from wardgate.errors import SettingsError
from wardgate.federation.presets.aws import AWS
from wardgate.federation.presets.generic import GENERIC
from wardgate.federation.presets.google_workspace import GOOGLE_WORKSPACE
from wardgate.federation.presets.nextcloud import NEXTCLOUD
from wardgate.federation.presets.paloalto_globalprotect import PALOALTO_GLOBALPROTECT
from wardgate.federation.presets.preset import Preset
from wardgate.federation.presets.salesforce import SALESFORCE

PRESETS: Final = (GENERIC, GOOGLE_WORKSPACE, SALESFORCE, AWS, PALOALTO_GLOBALPROTECT, NEXTCLOUD)
_BY_NAME: Final = {preset.name: preset for preset in PRESETS}


def preset_of(name: str) -> Preset:
    """The preset of this name. Raises SettingsError."""
    found = _BY_NAME.get(name)
    if found is None:
        raise SettingsError(f"there is no preset {name[:64]!r}: {', '.join(_BY_NAME)}")
    return found
