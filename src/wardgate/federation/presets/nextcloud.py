"""Nextcloud, by its app SSO & SAML authentication (user_saml)."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import NameIdSettings

NEXTCLOUD = Preset(
    name="nextcloud",
    title="Nextcloud",
    name_id=NameIdSettings(format="persistent"),
    name_id_formats=("transient", "email", "unspecified"),
    claims={"uid": "user_name", "mail": "mail", "displayName": "display_name", "groups": "groups"},
    # The php-saml library in it can ask for either; both signed satisfies every setting of its security section.
    sign="both",
    there=(
        "Install the app SSO & SAML authentication, choose built-in SAML authentication.",
        "General: attribute to map the UID to: uid. Identity Provider Data: our entity id, sign-in address, logout address and "
        "the public X.509 certificate (wardgate relying-party keys --pem).",
        "Attribute mapping: display name displayName, e-mail mail, groups groups.",
        "Security settings: the assertions must be signed, the responses must be signed.",
        "Give the address of its metadata here, https://HOST/apps/user_saml/saml/metadata?idp=1. The file that Download metadata "
        "XML at the end of the page gives may say that it ends after two days.",
        "The uid becomes the account's name and its folder on disk and can hardly be changed later: a user name that is given to "
        "another person some day brings him the files. Where names are reused, take {uid: subject}.",
    ),
    own_login=(
        "Leave Allow the use of multiple user back-ends off: then the SAML form is the only one. Keep one administrator for "
        "/login?direct=1. Clients with app passwords keep their access until those are revoked there."
    ),
    source="Nextcloud Administration Manual, User authentication with SAML; the app user_saml",
)
