"""The names that the specifications give: namespaces, bindings, formats, status codes, algorithms.

SAML core (saml-core-2.0-os), bindings (saml-bindings-2.0-os), metadata (saml-metadata-2.0-os), XML Signature (xmldsig-core1),
XML Encryption (xmlenc-core1), RFC 4051 and RFC 6931.
"""

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
ALGORITHMS = "urn:oasis:names:tc:SAML:metadata:algsupport"
METADATA_UI = "urn:oasis:names:tc:SAML:metadata:ui"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
SCHEMA = "http://www.w3.org/2001/XMLSchema"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

# Kinds of names, core section 8.3.
FORMAT_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
FORMAT_EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
FORMAT_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
FORMAT_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
FORMAT_ENTITY = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
FORMAT_ENCRYPTED = "urn:oasis:names:tc:SAML:2.0:nameid-format:encrypted"

# Kinds of attribute names, core section 8.2.
ATTRIBUTE_BASIC = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
ATTRIBUTE_URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
ATTRIBUTE_UNSPECIFIED = "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"

# First-level status codes, core section 3.2.2.2.
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
REQUESTER = "urn:oasis:names:tc:SAML:2.0:status:Requester"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
VERSION_MISMATCH = "urn:oasis:names:tc:SAML:2.0:status:VersionMismatch"
TOP_STATUSES = frozenset({SUCCESS, REQUESTER, RESPONDER, VERSION_MISMATCH})
# Second-level ones that an identity provider has a use for.
AUTHN_FAILED = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
INVALID_NAME_ID_POLICY = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
INVALID_ATTRIBUTE = "urn:oasis:names:tc:SAML:2.0:status:InvalidAttrNameOrValue"
NO_AUTHN_CONTEXT = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
NO_PASSIVE = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
PARTIAL_LOGOUT = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
REQUEST_DENIED = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
REQUEST_VERSION_TOO_HIGH = "urn:oasis:names:tc:SAML:2.0:status:RequestVersionTooHigh"
REQUEST_VERSION_TOO_LOW = "urn:oasis:names:tc:SAML:2.0:status:RequestVersionTooLow"
REQUEST_UNSUPPORTED = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
UNKNOWN_PRINCIPAL = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
UNSUPPORTED_BINDING = "urn:oasis:names:tc:SAML:2.0:status:UnsupportedBinding"

# How somebody signed in (saml-authn-context-2.0-os section 3.4, and the profile of REFEDS).
CONTEXT_UNSPECIFIED = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
CONTEXT_PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"  # noqa: S105 - a name, no password
CONTEXT_PROTECTED_PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105
CONTEXT_KERBEROS = "urn:oasis:names:tc:SAML:2.0:ac:classes:Kerberos"
CONTEXT_TIME_SYNC = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"
CONTEXT_PREVIOUS_SESSION = "urn:oasis:names:tc:SAML:2.0:ac:classes:PreviousSession"
CONTEXT_REFEDS_MFA = "https://refeds.org/profile/mfa"
COMPARISONS = frozenset({"exact", "minimum", "maximum", "better"})

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

# Signatures.
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
EXCLUSIVE_C14N_COMMENTS = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
INCLUSIVE_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
INCLUSIVE_C14N_COMMENTS = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
INCLUSIVE_C14N_11 = "http://www.w3.org/2006/12/xml-c14n11"
INCLUSIVE_C14N_11_COMMENTS = "http://www.w3.org/2006/12/xml-c14n11#WithComments"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
DIGEST_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
DIGEST_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
DIGEST_SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"

# Encryption.
OAEP_MGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
OAEP = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
MGF1_SHA256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
DIGEST_SHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"
ENCRYPTED_ELEMENT = "http://www.w3.org/2001/04/xmlenc#Element"
