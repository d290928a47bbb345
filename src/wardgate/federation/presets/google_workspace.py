"""Google Workspace and Cloud Identity, by a third-party identity provider profile."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import NameIdSettings

GOOGLE_WORKSPACE = Preset(
    name="google-workspace",
    title="Google Workspace",
    # Google finds the account by its primary address and looks at nothing else: no claims are needed.
    name_id=NameIdSettings(format="email", source="mail"),
    name_id_formats=("unspecified",),
    sign="assertion",
    known_consumers=("https://accounts.google.com/samlrp/", "https://accounts.google.com/a/", "https://www.google.com/a/"),
    there=(
        "Admin console: Security, Authentication, SSO with third-party IdP, Add SAML profile.",
        "IdP entity ID, Sign-in page URL, Sign-out page URL and the certificate come from our metadata (the certificate as a file: "
        "wardgate relying-party keys --pem); the change password URL is the portal's.",
        "Google then shows the Entity ID and the ACS URL of the profile: write them here as entity_id and acs (it offers no "
        "metadata file).",
        "Assign the profile to organisational units or groups under Manage SSO profile assignments.",
        "The name must be the primary address of the account at Google. Where the directory's mail differs, use name_id: "
        "{format: email, "
        'template: "{user_name}@your-domain"}.',
    ),
    own_login=(
        "Google lets super administrators always sign in with Google's own password, and everybody else once the profile is not "
        "assigned to them: assign it to the root unit, take it from nobody, give the super administrators 2-step verification "
        "with security keys at Google, and turn off less secure apps and app passwords."
    ),
    source="Google Workspace Admin Help, Set up SSO for your organization",
)
