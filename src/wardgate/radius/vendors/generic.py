"""Any device without a profile of its own: what the RFCs promise and nothing more."""

from wardgate.radius.attributes import AttributeDefinition, Kind
from wardgate.radius.vendors.port import VendorProfile

PROFILE = VendorProfile(
    name="generic",
    title="Any RADIUS device",
    # Filter-Id and Class are both in use for groups; which one, only the operator knows.
    group_attribute=None,
    address_sources=(AttributeDefinition("Calling-Station-Id", None, 31, Kind.STRING),),
)
