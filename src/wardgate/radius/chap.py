"""CHAP: RFC 2865 sections 2.2 and 5.3.

A server that checks passwords by a directory bind, or keeps only their hash, cannot verify CHAP, and CHAP cannot carry a
one-time code: such requests are recognised by `credentials` and refused. The response is computed here for our own
client, which plays a NAS that tries CHAP first.
"""

from wardgate.radius.shared_secret import md5


def chap_password(chap_id: int, password: bytes, challenge: bytes) -> bytes:
    """The value of CHAP-Password: the identifier and the response to `challenge`.

    The challenge is CHAP-Challenge (60) when the request carries one, else the Request Authenticator.
    """
    return bytes((chap_id,)) + md5(bytes((chap_id,)) + password + challenge)
