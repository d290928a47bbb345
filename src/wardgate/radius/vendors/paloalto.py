"""Palo Alto Networks: PAN-OS firewalls (GlobalProtect, Authentication Portal, administrators) and Panorama.

Nothing is released by default. PaloAlto-User-Group only matters when the firewall's profile has "Retrieve user group from
RADIUS" ticked; sent unasked it would tell the firewall every group of every user, and a long list could exceed the packet.
A role for administrators must be the operator's own decision in any case: the rule would make firewall administrators.
`suggested_release` is what an operator then adds to the application.
"""

from wardgate.radius.attributes import AttributeDefinition, Kind
from wardgate.radius.vendors.port import NameForm, Trouble, VendorProfile

VENDOR_ID = 25461


def _text(number: int, name: str) -> AttributeDefinition:
    return AttributeDefinition(name, VENDOR_ID, number, Kind.STRING)


ADMIN_ROLE = _text(1, "PaloAlto-Admin-Role")
ADMIN_ACCESS_DOMAIN = _text(2, "PaloAlto-Admin-Access-Domain")
PANORAMA_ADMIN_ROLE = _text(3, "PaloAlto-Panorama-Admin-Role")
PANORAMA_ADMIN_ACCESS_DOMAIN = _text(4, "PaloAlto-Panorama-Admin-Access-Domain")
USER_GROUP = _text(5, "PaloAlto-User-Group")
USER_DOMAIN = _text(6, "PaloAlto-User-Domain")
# A text, not four octets.
CLIENT_SOURCE_IP = _text(7, "PaloAlto-Client-Source-IP")
CLIENT_OS = _text(8, "PaloAlto-Client-OS")
CLIENT_HOSTNAME = _text(9, "PaloAlto-Client-Hostname")
CLIENT_VERSION = _text(10, "PaloAlto-GlobalProtect-Client-Version")

PROFILE = VendorProfile(
    name="paloalto",
    title="Palo Alto Networks PAN-OS",
    attributes=(
        ADMIN_ROLE,
        ADMIN_ACCESS_DOMAIN,
        PANORAMA_ADMIN_ROLE,
        PANORAMA_ADMIN_ACCESS_DOMAIN,
        USER_GROUP,
        USER_DOMAIN,
        CLIENT_SOURCE_IP,
        CLIENT_OS,
        CLIENT_HOSTNAME,
        CLIENT_VERSION,
    ),
    group_attribute=USER_GROUP.name,
    suggested_release=({"when": {}, "add": {USER_GROUP.name: "{group}"}},),
    # Recent releases also fill Calling-Station-Id for GlobalProtect; the vendor's own attribute says what it means.
    address_sources=(CLIENT_SOURCE_IP, AttributeDefinition("Calling-Station-Id", None, 31, Kind.STRING)),
    info_sources=(
        ("os", CLIENT_OS),
        ("hostname", CLIENT_HOSTNAME),
        ("app_version", CLIENT_VERSION),
        ("user_domain", USER_DOMAIN),
    ),
    # GlobalProtect draws its own field; the attribute would only make the packet longer.
    prompt_echo=None,
    # The app gives up after about 25 s, whatever the firewall's RADIUS timeout says.
    time_budget_s=25.0,
    # PAN-OS 7.1 and older in protocol "auto".
    chap_first=True,
    # user@domain is turned into domain\user by the firewall unless the username modifier says otherwise.
    forms=(NameForm.DOWN_LEVEL, NameForm.BARE, NameForm.PRINCIPAL),
    setup_hints=(
        (
            Trouble.NO_MESSAGE_AUTHENTICATOR,
            "PAN-OS sends Message-Authenticator with PAP since the releases that fix CVE-2024-3596: update it, or set "
            "message_authenticator: accept_missing for this NAS",
        ),
        (
            Trouble.WRONG_SECRET,
            "enter the secret again under Device > Server Profiles > RADIUS and commit; each firewall of an HA pair sends from "
            "its own management address",
        ),
        (
            Trouble.CHAP,
            "set Authentication Protocol to PAP under Device > Server Profiles > RADIUS: CHAP cannot carry a one-time code",
        ),
        (
            Trouble.RETRANSMISSION,
            "set Timeout 60 and Retries 1 under Device > Server Profiles > RADIUS: with the defaults (3 s, 3 tries) every login is "
            "sent again",
        ),
        (
            Trouble.CREDENTIAL_REPLAY,
            "GlobalProtect gave the gateway the code that the portal had used: generate an authentication override cookie on the "
            "portal and accept it on the gateway, or tick the gateway under Components That Require Dynamic Passwords",
        ),
        (
            Trouble.NO_CHALLENGE,
            "'test authentication' on the firewall cannot answer a challenge; try with the GlobalProtect app itself",
        ),
    ),
)
