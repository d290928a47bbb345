"""Salesforce, by a SAML single sign-on setting of an organisation with My Domain."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import NameIdSettings

SALESFORCE = Preset(
    name="salesforce",
    title="Salesforce",
    # The Federation ID of the Salesforce user; the setting there decides whether it, the user name or the user id is compared.
    name_id=NameIdSettings(format="unspecified", source="user_name"),
    name_id_formats=("persistent", "email"),
    claims={"email": "mail", "name": "display_name"},
    sign="assertion",
    there=(
        "Setup, Single Sign-On Settings: enable SAML, then New from Metadata File (ours) or New.",
        "SAML Identity Type: Assertion contains the Federation ID; SAML Identity Location: Identity is in the NameIdentifier "
        "element.",
        "Service Provider Initiated Request Binding: HTTP POST. Entity ID: the address of My Domain.",
        "Save, then Download Metadata and give that file here.",
        "Every user needs a Federation ID equal to his user name here (or use name_id for another).",
        "My Domain, Authentication Configuration: add the setting to the login page.",
    ),
    own_login=(
        "Prevent login from https://login.salesforce.com under My Domain, and take the login form away in its authentication "
        "configuration. Neither is enough by itself (the form comes back with ?login at the end of the address): give users the "
        "permission Is Single Sign-On Enabled, with which Salesforce takes no password of theirs, and keep one administrator "
        "without it."
    ),
    source="Salesforce Help, Configure SSO with Salesforce as a SAML Service Provider",
)
