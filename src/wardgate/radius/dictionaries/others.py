"""Attributes of makers that have no profile of their own: group, role and the like, for reply rules."""

from wardgate.radius.attributes import AttributeDefinition, Kind


def _text(vendor: int, number: int, name: str) -> AttributeDefinition:
    return AttributeDefinition(name, vendor, number, Kind.STRING)


def _integer(vendor: int, number: int, name: str, *values: tuple[str, int]) -> AttributeDefinition:
    return AttributeDefinition(name, vendor, number, Kind.INTEGER, values=values)


def _key(vendor: int, number: int, name: str, *, encrypted: bool = False) -> AttributeDefinition:
    """Challenges, responses and keys: never printed, never added by a rule."""
    return AttributeDefinition(name, vendor, number, Kind.OCTETS, encrypted=encrypted, confidential=True, protected=True)


_CISCO = 9
_CITRIX = 66
_MICROSOFT = 311
_CHECK_POINT = 2620
_JUNIPER = 2636
_CISCO_ASA = 3076
_F5 = 3375
_SONICWALL = 8741
_FORTINET = 12356
_MIKROTIK = 14988

_F5_ROLES = (
    ("Administrator", 0),
    ("Resource-Admin", 20),
    ("User-Manager", 40),
    ("Auditor", 80),
    ("Manager", 100),
    ("App-Editor", 300),
    ("Advanced-Operator", 350),
    ("Operator", 400),
    ("Firewall-Manager", 450),
    ("Fraud-Protection-Manager", 480),
    ("Certificate-Manager", 500),
    ("IRule-Manager", 510),
    ("Guest", 700),
    ("Web-Application-Security-Administrator", 800),
    ("Web-Application-Security-Editor", 810),
    ("Acceleration-Policy-Editor", 850),
    ("No-Access", 900),
)

OTHERS = (
    _text(_CISCO, 1, "Cisco-AVPair"),
    _text(_CITRIX, 16, "Citrix-User-Groups"),
    # RFC 2548: recognised so that nothing of them is ever printed.
    _key(_MICROSOFT, 1, "MS-CHAP-Response"),
    _key(_MICROSOFT, 2, "MS-CHAP-Error"),
    _key(_MICROSOFT, 11, "MS-CHAP-Challenge"),
    _key(_MICROSOFT, 12, "MS-CHAP-MPPE-Keys", encrypted=True),
    _key(_MICROSOFT, 16, "MS-MPPE-Send-Key", encrypted=True),
    _key(_MICROSOFT, 17, "MS-MPPE-Recv-Key", encrypted=True),
    _key(_MICROSOFT, 25, "MS-CHAP2-Response"),
    _key(_MICROSOFT, 26, "MS-CHAP2-Success"),
    _text(_CHECK_POINT, 229, "CP-Gaia-User-Role"),
    _integer(_CHECK_POINT, 230, "CP-Gaia-SuperUser-Access"),
    _text(_JUNIPER, 1, "Juniper-Local-User-Name"),
    _text(_CISCO_ASA, 25, "ASA-Group-Policy"),
    _integer(_F5, 1, "F5-LTM-User-Role", *_F5_ROLES),
    _text(_F5, 3, "F5-LTM-User-Partition"),
    _integer(_F5, 4, "F5-LTM-User-Console", ("Disabled", 0), ("Enabled", 1)),
    _text(_F5, 5, "F5-LTM-User-Shell"),
    _text(_F5, 12, "F5-LTM-User-Info-1"),
    _text(_SONICWALL, 3, "SonicWall-User-Group"),
    _text(_FORTINET, 1, "Fortinet-Group-Name"),
    _text(_FORTINET, 3, "Fortinet-Vdom-Name"),
    _text(_FORTINET, 6, "Fortinet-Access-Profile"),
    _text(_MIKROTIK, 3, "Mikrotik-Group"),
)
