"""Any application that speaks SAML 2.0."""

from wardgate.federation.presets.preset import Preset
from wardgate.federation.settings import NameIdSettings

GENERIC = Preset(
    name="generic",
    title="Any SAML 2.0 application",
    name_id=NameIdSettings(format="persistent"),
    name_id_formats=("transient",),
    follows_metadata=True,
    # Libraries differ in which of both they want by default, and none minds both.
    sign="both",
    there=(
        "Give the application our metadata: its address, or the file that it answers with.",
        "Where it asks for single values instead: our entity id, the sign-in address, the logout address and the certificate, "
        "all of which stand in the metadata; wardgate relying-party keys --pem prints the certificate as a file.",
        "Have it take our persistent name for a person, or set name_id to what its accounts are called by. Where its metadata "
        "lists kinds of names without the persistent one, it gets the first of those.",
        "Both the response and the assertion in it are signed, which suits all libraries. Where the assertion's signature is "
        "enough, sign: assertion spares half of the signing. Where it misses attributes, give it a claim.",
    ),
    own_login=(
        "Turn off every other way to sign in at the application (its own password form, the API with passwords, the mobile app's "
        "own login), and keep one local administrator for emergencies behind a strong password that nobody uses."
    ),
)
