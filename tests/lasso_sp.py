"""An application on lasso, the library under mod_auth_mellon, run by Debian's own Python: `lasso_sp.py FOLDER`, JSON in and out.

It knows nothing of ours: FOLDER holds `sp.xml`, `sp.key`, `sp.crt` and the identity provider's `idp.xml`. One object on standard
input says what to do, one on standard output what came of it. Started by tests/functional/test_saml_lasso.py.
"""

import json
import sys
from typing import Any

import lasso  # type: ignore[import-not-found,unused-ignore]

IDP = "https://login.acme.test/saml"
METHODS = {"redirect": lasso.HTTP_METHOD_REDIRECT, "post": lasso.HTTP_METHOD_POST}


def server(folder: str) -> Any:
    made = lasso.Server(f"{folder}/sp.xml", f"{folder}/sp.key", None, f"{folder}/sp.crt")
    made.addProvider(lasso.PROVIDER_ROLE_IDP, f"{folder}/idp.xml", None, None)
    made.setEncryptionPrivateKey(f"{folder}/sp.key")
    made.signatureMethod = lasso.SIGNATURE_METHOD_RSA_SHA256
    return made


def ask(folder: str, binding: str) -> dict[str, str]:
    """An AuthnRequest, signed."""
    login = lasso.Login(server(folder))
    login.initAuthnRequest(IDP, METHODS[binding])
    login.request.protocolBinding = lasso.SAML2_METADATA_BINDING_POST
    login.msgRelayState = "state <&"
    login.buildAuthnRequestMsg()
    return {"url": login.msgUrl, "body": login.msgBody or "", "id": login.request.iD}


def take(folder: str, response: str) -> dict[str, Any]:
    """Sign in by a Response: who it is, or the error."""
    login = lasso.Login(server(folder))
    try:
        login.processAuthnResponseMsg(response)
        login.acceptSso()
    except lasso.Error as error:
        return {"error": type(error).__name__}
    attributes = login.assertion.attributeStatement[0].attribute
    return {
        "name": login.assertion.subject.nameID.content,
        "attributes": {each.name: [value.any[0].content for value in each.attributeValue] for each in attributes},
        "session": login.session.dump(),
    }


def leave(folder: str, session: str, answer: str) -> dict[str, str]:
    """A LogoutRequest, or what becomes of the `answer` to one."""
    logout = lasso.Logout(server(folder))
    logout.setSessionFromDump(session)
    logout.initRequest(IDP, lasso.HTTP_METHOD_REDIRECT)
    logout.buildRequestMsg()
    if not answer:
        return {"url": logout.msgUrl}
    try:
        logout.processResponseMsg(answer)
    except lasso.Error as error:
        return {"error": type(error).__name__}
    return {"done": "yes"}


def asked_to_leave(folder: str, session: str, request: str) -> dict[str, str]:
    """The LogoutResponse to a LogoutRequest, or the error."""
    logout = lasso.Logout(server(folder))
    logout.setSessionFromDump(session)
    try:
        logout.processRequestMsg(request)
        logout.validateRequest()
        logout.buildResponseMsg()
    except lasso.Error as error:
        return {"error": type(error).__name__}
    return {"url": logout.msgUrl}


DOES = {"ask": ask, "take": take, "leave": leave, "asked_to_leave": asked_to_leave}

if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    json.dump([DOES[job.pop("do")](sys.argv[1], **job) for job in jobs], sys.stdout)
