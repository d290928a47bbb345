"""SAML 2.0, the identity provider's half of the Web Browser SSO and Single Logout profiles, as pure code.

No I/O, no clock, no storage, no engine: messages and metadata come in as bytes or text and become values; values become messages.
What an application may ask is judged by the door; here only whether a message is well made, and whose it is.

`values.py` holds the values and `names.py` the URIs of the specifications. Coming in: `xml.py` (the strict parser), `bindings.py`
(Redirect and POST), `verifying.py` (signatures), `requests.py` (AuthnRequest, LogoutRequest, LogoutResponse), `sp_metadata.py`
and `consumers.py` (which of an application's endpoints gets the answer). Going out: `building.py`, `signing.py`, `encrypting.py`
and `metadata.py`. Imports lxml and cryptography, errors and `wardgate.crypto`. Begin with `values.py`.
"""
