"""The vendor profiles: an explicit list, one line each. `port` says what a profile is."""

from wardgate.errors import SettingsError
from wardgate.radius.vendors import generic, paloalto
from wardgate.radius.vendors.port import VendorProfile

VENDORS: tuple[VendorProfile, ...] = (
    generic.PROFILE,
    paloalto.PROFILE,
)


def vendor(name: str) -> VendorProfile:
    """The profile of this name. Raises SettingsError, which lists the names there are."""
    for profile in VENDORS:
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in VENDORS)
    raise SettingsError(f"there is no NAS vendor {name!r}: choose one of {known}")
