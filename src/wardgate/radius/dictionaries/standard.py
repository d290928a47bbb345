"""The standard attributes: RFC 2865, 2866, 2867, 2868, 2869, 3162, 4372, 4818, 5176, 5607 and 6911."""

from wardgate.radius.attributes import AttributeDefinition, Kind


def _row(number: int, name: str, kind: Kind = Kind.STRING, *values: tuple[str, int], tagged: bool = False) -> AttributeDefinition:
    return AttributeDefinition(name, None, number, kind, tagged=tagged, values=values)


def _own(number: int, name: str, kind: Kind = Kind.OCTETS) -> AttributeDefinition:
    """An attribute that the server handles itself and whose value is not for printing."""
    return AttributeDefinition(name, None, number, kind, confidential=True, protected=True)


_TUNNEL_TYPES = (
    ("PPTP", 1),
    ("L2F", 2),
    ("L2TP", 3),
    ("ATMP", 4),
    ("VTP", 5),
    ("AH", 6),
    ("IP", 7),
    ("MIN-IP", 8),
    ("ESP", 9),
    ("GRE", 10),
    ("DVS", 11),
    ("IP-in-IP", 12),
    ("VLAN", 13),
)
_SERVICE_TYPES = (
    ("Login-User", 1),
    ("Framed-User", 2),
    ("Callback-Login-User", 3),
    ("Callback-Framed-User", 4),
    ("Outbound-User", 5),
    ("Administrative-User", 6),
    ("NAS-Prompt-User", 7),
    ("Authenticate-Only", 8),
    ("Callback-NAS-Prompt", 9),
    ("Call-Check", 10),
    ("Callback-Administrative", 11),
)
_PORT_TYPES = (
    ("Async", 0),
    ("Sync", 1),
    ("ISDN", 2),
    ("ISDN-V120", 3),
    ("ISDN-V110", 4),
    ("Virtual", 5),
    ("PIAFS", 6),
    ("HDLC", 7),
    ("X.25", 8),
    ("X.75", 9),
    ("G.3-Fax", 10),
    ("SDSL", 11),
    ("ADSL-CAP", 12),
    ("ADSL-DMT", 13),
    ("IDSL", 14),
    ("Ethernet", 15),
    ("xDSL", 16),
    ("Cable", 17),
    ("Wireless-Other", 18),
    ("Wireless-802.11", 19),
)
_TERMINATE_CAUSES = (
    ("User-Request", 1),
    ("Lost-Carrier", 2),
    ("Lost-Service", 3),
    ("Idle-Timeout", 4),
    ("Session-Timeout", 5),
    ("Admin-Reset", 6),
    ("Admin-Reboot", 7),
    ("Port-Error", 8),
    ("NAS-Error", 9),
    ("NAS-Request", 10),
    ("NAS-Reboot", 11),
    ("Port-Unneeded", 12),
    ("Port-Preempted", 13),
    ("Port-Suspended", 14),
    ("Service-Unavailable", 15),
    ("Callback", 16),
    ("User-Error", 17),
    ("Host-Request", 18),
)
_STATUS_TYPES = (
    ("Start", 1),
    ("Stop", 2),
    ("Interim-Update", 3),
    ("Accounting-On", 7),
    ("Accounting-Off", 8),
    ("Tunnel-Start", 9),
    ("Tunnel-Stop", 10),
    ("Tunnel-Reject", 11),
    ("Tunnel-Link-Start", 12),
    ("Tunnel-Link-Stop", 13),
    ("Tunnel-Link-Reject", 14),
    ("Failed", 15),
)
_ERROR_CAUSES = (
    ("Residual-Session-Context-Removed", 201),
    ("Invalid-EAP-Packet", 202),
    ("Unsupported-Attribute", 401),
    ("Missing-Attribute", 402),
    ("NAS-Identification-Mismatch", 403),
    ("Invalid-Request", 404),
    ("Unsupported-Service", 405),
    ("Unsupported-Extension", 406),
    ("Invalid-Attribute-Value", 407),
    ("Administratively-Prohibited", 501),
    ("Proxy-Request-Not-Routable", 502),
    ("Session-Context-Not-Found", 503),
    ("Session-Context-Not-Removable", 504),
    ("Proxy-Processing-Error", 505),
    ("Resources-Unavailable", 506),
    ("Request-Initiated", 507),
    ("Multiple-Session-Selection-Unsupported", 508),
)
_FRAMED_PROTOCOLS = (("PPP", 1), ("SLIP", 2), ("ARAP", 3), ("Gandalf-SLML", 4), ("Xylogics-IPX-SLIP", 5), ("X.75-Synchronous", 6))
_LOGIN_SERVICES = (
    ("Telnet", 0),
    ("Rlogin", 1),
    ("TCP-Clear", 2),
    ("PortMaster", 3),
    ("LAT", 4),
    ("X25-PAD", 5),
    ("X25-T3POS", 6),
    ("TCP-Clear-Quiet", 8),
)

RFC_2865 = (
    _row(1, "User-Name"),
    _own(2, "User-Password"),
    _own(3, "CHAP-Password"),
    _row(4, "NAS-IP-Address", Kind.IPV4),
    _row(5, "NAS-Port", Kind.INTEGER),
    _row(6, "Service-Type", Kind.INTEGER, *_SERVICE_TYPES),
    _row(7, "Framed-Protocol", Kind.INTEGER, *_FRAMED_PROTOCOLS),
    _row(8, "Framed-IP-Address", Kind.IPV4),
    _row(9, "Framed-IP-Netmask", Kind.IPV4),
    _row(10, "Framed-Routing", Kind.INTEGER, ("None", 0), ("Send", 1), ("Listen", 2), ("Send-Listen", 3)),
    _row(11, "Filter-Id"),
    _row(12, "Framed-MTU", Kind.INTEGER),
    _row(13, "Framed-Compression", Kind.INTEGER, ("None", 0), ("Van-Jacobson-TCP-IP", 1), ("IPX-Header", 2), ("Stac-LZS", 3)),
    _row(14, "Login-IP-Host", Kind.IPV4),
    _row(15, "Login-Service", Kind.INTEGER, *_LOGIN_SERVICES),
    _row(16, "Login-TCP-Port", Kind.INTEGER),
    _row(18, "Reply-Message"),
    _row(19, "Callback-Number"),
    _row(20, "Callback-Id"),
    _row(22, "Framed-Route"),
    _row(23, "Framed-IPX-Network", Kind.INTEGER),
    _own(24, "State"),
    _row(25, "Class", Kind.OCTETS),
    _own(26, "Vendor-Specific"),
    _row(27, "Session-Timeout", Kind.INTEGER),
    _row(28, "Idle-Timeout", Kind.INTEGER),
    _row(29, "Termination-Action", Kind.INTEGER, ("Default", 0), ("RADIUS-Request", 1)),
    _row(30, "Called-Station-Id"),
    _row(31, "Calling-Station-Id"),
    _row(32, "NAS-Identifier"),
    _own(33, "Proxy-State"),
    _row(34, "Login-LAT-Service"),
    _row(35, "Login-LAT-Node"),
    _row(36, "Login-LAT-Group", Kind.OCTETS),
    _row(37, "Framed-AppleTalk-Link", Kind.INTEGER),
    _row(38, "Framed-AppleTalk-Network", Kind.INTEGER),
    _row(39, "Framed-AppleTalk-Zone"),
    _own(60, "CHAP-Challenge"),
    _row(61, "NAS-Port-Type", Kind.INTEGER, *_PORT_TYPES),
    _row(62, "Port-Limit", Kind.INTEGER),
    _row(63, "Login-LAT-Port"),
)

RFC_2866 = (
    _row(40, "Acct-Status-Type", Kind.INTEGER, *_STATUS_TYPES),
    _row(41, "Acct-Delay-Time", Kind.INTEGER),
    _row(42, "Acct-Input-Octets", Kind.INTEGER),
    _row(43, "Acct-Output-Octets", Kind.INTEGER),
    _row(44, "Acct-Session-Id"),
    _row(45, "Acct-Authentic", Kind.INTEGER, ("RADIUS", 1), ("Local", 2), ("Remote", 3)),
    _row(46, "Acct-Session-Time", Kind.INTEGER),
    _row(47, "Acct-Input-Packets", Kind.INTEGER),
    _row(48, "Acct-Output-Packets", Kind.INTEGER),
    _row(49, "Acct-Terminate-Cause", Kind.INTEGER, *_TERMINATE_CAUSES),
    _row(50, "Acct-Multi-Session-Id"),
    _row(51, "Acct-Link-Count", Kind.INTEGER),
)

RFC_2867 = (
    _row(68, "Acct-Tunnel-Connection"),
    _row(86, "Acct-Tunnel-Packets-Lost", Kind.INTEGER),
)

RFC_2868 = (
    _row(64, "Tunnel-Type", Kind.INTEGER, *_TUNNEL_TYPES, tagged=True),
    _row(65, "Tunnel-Medium-Type", Kind.INTEGER, ("IPv4", 1), ("IPv6", 2), ("IEEE-802", 6), tagged=True),
    _row(66, "Tunnel-Client-Endpoint", tagged=True),
    _row(67, "Tunnel-Server-Endpoint", tagged=True),
    AttributeDefinition("Tunnel-Password", None, 69, Kind.STRING, tagged=True, encrypted=True),
    _row(81, "Tunnel-Private-Group-Id", tagged=True),
    _row(82, "Tunnel-Assignment-Id", tagged=True),
    _row(83, "Tunnel-Preference", Kind.INTEGER, tagged=True),
    _row(90, "Tunnel-Client-Auth-Id", tagged=True),
    _row(91, "Tunnel-Server-Auth-Id", tagged=True),
)

RFC_2869 = (
    _row(52, "Acct-Input-Gigawords", Kind.INTEGER),
    _row(53, "Acct-Output-Gigawords", Kind.INTEGER),
    _row(55, "Event-Timestamp", Kind.DATE),
    _own(70, "ARAP-Password"),
    _row(71, "ARAP-Features", Kind.OCTETS),
    _row(72, "ARAP-Zone-Access", Kind.INTEGER),
    _row(73, "ARAP-Security", Kind.INTEGER),
    _own(74, "ARAP-Security-Data"),
    _row(75, "Password-Retry", Kind.INTEGER),
    _row(76, "Prompt", Kind.INTEGER, ("No-Echo", 0), ("Echo", 1)),
    _row(77, "Connect-Info"),
    _row(78, "Configuration-Token"),
    _own(79, "EAP-Message"),
    _own(80, "Message-Authenticator"),
    _own(84, "ARAP-Challenge-Response"),
    _row(85, "Acct-Interim-Interval", Kind.INTEGER),
    _row(87, "NAS-Port-Id"),
    _row(88, "Framed-Pool"),
)

RFC_3162 = (
    _row(95, "NAS-IPv6-Address", Kind.IPV6),
    _row(96, "Framed-Interface-Id", Kind.INTERFACE_ID),
    _row(97, "Framed-IPv6-Prefix", Kind.IPV6_PREFIX),
    _row(98, "Login-IPv6-Host", Kind.IPV6),
    _row(99, "Framed-IPv6-Route"),
    _row(100, "Framed-IPv6-Pool"),
)

LATER = (
    _row(89, "Chargeable-User-Identity", Kind.OCTETS),  # RFC 4372
    _row(101, "Error-Cause", Kind.INTEGER, *_ERROR_CAUSES),  # RFC 5176
    _row(123, "Delegated-IPv6-Prefix", Kind.IPV6_PREFIX),  # RFC 4818
    _row(133, "Framed-Management", Kind.INTEGER),  # RFC 5607, this and the next three
    _row(134, "Management-Transport-Protection", Kind.INTEGER),
    _row(135, "Management-Policy-Id"),
    _row(136, "Management-Privilege-Level", Kind.INTEGER),
    _row(168, "Framed-IPv6-Address", Kind.IPV6),  # RFC 6911, this and the next
    _row(169, "DNS-Server-IPv6-Address", Kind.IPV6),
)

STANDARD = (*RFC_2865, *RFC_2866, *RFC_2867, *RFC_2868, *RFC_2869, *RFC_3162, *LATER)
