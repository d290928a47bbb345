"""Amazon Web Services: accounts that federate by IAM, with a role per account."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import ClaimSettings, NameIdSettings

ROLE = "https://aws.amazon.com/SAML/Attributes/Role"
ROLE_SESSION_NAME = "https://aws.amazon.com/SAML/Attributes/RoleSessionName"
SESSION_DURATION = "https://aws.amazon.com/SAML/Attributes/SessionDuration"

AWS = Preset(
    name="aws",
    title="Amazon Web Services (IAM)",
    name_id=NameIdSettings(format="persistent"),
    name_id_formats=("transient", "email"),
    claims={
        # 2 to 64 of letters, digits and _+=,.@-; it names the session in CloudTrail.
        ROLE_SESSION_NAME: "user_name",
        SESSION_DURATION: ClaimSettings(constant="3600"),
    },
    needs={
        ROLE: (
            "which roles a person may take: map groups to pairs of role and provider, such as {source: groups, map: "
            '{"acme-ad:aws-admins": "arn:aws:iam::123456789012:role/Admin,arn:aws:iam::123456789012:saml-provider/Wardgate"}}'
        )
    },
    sign="assertion",
    known_consumers=("https://signin.aws.amazon.com/saml", "https://us-east-1.signin.aws.amazon.com/saml"),
    there=(
        "IAM, Identity providers, Add provider: SAML, a name such as Wardgate, and the file of our metadata.",
        "Make one role for each group: trusted entity SAML 2.0 federation, this provider, programmatic and console access.",
        "Give the application AWS's own metadata: https://signin.aws.amazon.com/static/saml-metadata.xml.",
        "Map groups to roles in the Role claim; a person in several groups is asked by AWS which role to take.",
        "The maximum session duration of each role must be at least what SessionDuration says.",
    ),
    own_login=(
        "Delete the console passwords and access keys of IAM users who sign in here, and keep the root user behind a hardware "
        "key. A role that can be assumed without SAML is another way in: look at the trust policies."
    ),
    source="AWS IAM User Guide, Configure SAML assertions for the authentication response",
)
