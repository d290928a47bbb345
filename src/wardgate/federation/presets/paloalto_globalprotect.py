"""Palo Alto Networks GlobalProtect: portal and gateway of a firewall, by a SAML authentication profile."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import NameIdSettings

PALOALTO_GLOBALPROTECT = Preset(
    name="paloalto-globalprotect",
    title="Palo Alto GlobalProtect",
    # The firewall takes the user from the attribute that its profile names, by default `username`, else from the NameID.
    name_id=NameIdSettings(format="unspecified", source="user_name"),
    name_id_formats=("transient", "persistent", "email"),
    claims={"username": "user_name", "usergroup": "groups"},
    # CVE-2020-2021 was a firewall that did not check: it does where Validate Identity Provider Certificate is set, and that
    # wants the
    # response signed in some releases and the assertion in others.
    sign="both",
    there=(
        "Device, Server Profiles, SAML Identity Provider, Import: the file of our metadata. With a self-signed certificate leave "
        "Validate Identity Provider Certificate off; the firewall then still compares the certificate of each response with the "
        "imported one.",
        "Device, Authentication Profile: type SAML, this server profile, User Name Attribute: username, User Group Attribute: "
        "usergroup; Advanced: the groups that may come in.",
        "Network, GlobalProtect, Portals and Gateways: the authentication profile. Allow authentication override cookies, so "
        "that the gateway does not ask again at once.",
        "Beside the profile, Metadata: export it for global-protect with the host name that clients use; give that file here, "
        "one for each portal and gateway address.",
        "The firewall compares usergroup with the allow list of the profile and with nothing else: rules by group need its own "
        "group mapping. The groups are plain names; limit them, such as {source: groups, only: [acme-ad:vpn-*]}.",
    ),
    own_login=(
        "A second client authentication entry (for another operating system, say) on the portal or gateway is another way in, "
        "and so is RADIUS or a local user database in its profile: look at every entry of both."
    ),
    source="PAN-OS and GlobalProtect Administrator's Guides, on SAML authentication",
)
