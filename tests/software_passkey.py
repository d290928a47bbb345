"""An authenticator of our own: makes key pairs, signs as a browser and a passkey together do, and lies where a test wants it to."""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

ORIGIN = "https://login.acme.test"
RP_ID = "login.acme.test"
USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40
# COSE key parameters, RFC 9053 section 7.1.1: an elliptic curve key, ES256, P-256.
EC2, ES256, P256 = 2, -7, 1


def b64(value: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of it."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftPasskey:
    """One passkey. `count`: how often it has signed; None: it does not count, as those that travel do not."""

    origin: str = ORIGIN
    rp_id: str = RP_ID
    verifies: bool = True
    count: int | None = 0
    handle: bytes = b""
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def id(self) -> str:
        """The credential id as browsers write it."""
        return b64(self.credential)

    def public_key(self) -> bytes:
        """The key in COSE form."""
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return cbor2.dumps({1: EC2, 3: ES256, -1: P256, -2: x, -3: y})

    def made(self, options: Mapping[str, Any], *, format: str = "none", statement: Mapping[str, Any] | None = None) -> str:
        """What `navigator.credentials.create` brings back."""
        self.handle = unb64(options["user"]["id"])
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + self.public_key()
        data = self._data(ATTESTED) + attested
        client = self._client("webauthn.create", options["challenge"])
        if format == "packed":
            statement = {"alg": ES256, "sig": self._sign(data + hashlib.sha256(client).digest()), **(statement or {})}
        object_ = cbor2.dumps({"fmt": format, "attStmt": dict(statement or {}), "authData": data})
        response = {"clientDataJSON": b64(client), "attestationObject": b64(object_), "transports": ["internal", "hybrid"]}
        return self._body(response)

    def signed(self, options: Mapping[str, Any], **client: Any) -> str:
        """What `navigator.credentials.get` brings back. `client`: what is different in what the browser says."""
        if self.count is not None:
            self.count += 1
        data = self._data(0)
        said = self._client("webauthn.get", options["challenge"], **client)
        response = {
            "clientDataJSON": b64(said),
            "authenticatorData": b64(data),
            "signature": b64(self._sign(data + hashlib.sha256(said).digest())),
        }
        return self._body({**response, **({"userHandle": b64(self.handle)} if self.handle else {})})

    def _data(self, flags: int) -> bytes:
        flags |= USER_PRESENT | (USER_VERIFIED if self.verifies else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + (self.count or 0).to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, **changes: Any) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False, **changes}
        return json.dumps(said).encode()

    def _sign(self, data: bytes) -> bytes:
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def _body(self, response: Mapping[str, Any]) -> str:
        return json.dumps({"id": self.id, "rawId": self.id, "type": "public-key", "response": dict(response)})
