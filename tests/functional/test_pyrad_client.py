"""pyrad, a RADIUS library of another maker, logs in through the whole challenge loop."""

import contextlib
import io
from collections.abc import Iterator

import pytest
from pyrad.client import Client, Timeout
from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccessChallenge, AccessReject, AccountingResponse, Packet

from tests.functional.harness import SECRET, Person, Served, totp_code, wrong_code
from tests.functional.plant import CHALLENGE, LENIENT, USERS

WORDS = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE State 24 octets
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Proxy-State 33 octets
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Prompt 76 integer
ATTRIBUTE Message-Authenticator 80 octets
VENDOR PaloAlto 25461
BEGIN-VENDOR PaloAlto
ATTRIBUTE PaloAlto-User-Group 5 string
END-VENDOR PaloAlto
"""


@contextlib.contextmanager
def made(plant: Served, source: str, signed: bool, timeout_s: int = 10) -> Iterator[Client]:
    """A NAS made with pyrad. `signed`: it sends Message-Authenticator and demands it in every reply."""
    client = Client(
        server="127.0.0.1",
        authport=plant.port,
        acctport=plant.accounting_port,
        secret=SECRET.encode(),
        dict=Dictionary(io.StringIO(WORDS)),
        retries=1,
        timeout=timeout_s,
        enforce_ma=signed,
    )
    client.bind((source, 0))
    try:
        yield client
    finally:
        client._CloseSocket()


@pytest.fixture
def client(plant: Served) -> Iterator[Client]:
    """A NAS as it should be."""
    with made(plant, CHALLENGE, signed=True) as client:
        yield client


def ask(client: Client, person: Person, proof: str, state: bytes | None = None, **more: object) -> Packet:
    """One request and its reply, verified by pyrad."""
    request = client.CreateAuthPacket(User_Name=person.name, NAS_Identifier="pyrad", message_authenticator=True)
    request["User-Password"] = request.PwCrypt(proof)
    if state is not None:
        request["State"] = state
    for name, value in more.items():
        request[name.replace("_", "-")] = value
    return client.SendPacket(request)


def test_pyrad_goes_through_the_whole_challenge_loop(client: Client) -> None:
    ada = USERS.with_app()
    challenge = ask(client, ada, ada.password)
    assert challenge.code == AccessChallenge
    assert challenge["Reply-Message"] == ["Enter the code from your app."]
    again = ask(client, ada, wrong_code(totp_code(ada.totp_hex)), challenge["State"][0])
    assert again.code == AccessChallenge
    assert "2 tries left" in again["Reply-Message"][0]
    accept = ask(client, ada, totp_code(ada.totp_hex), again["State"][0])
    assert accept.code == AccessAccept
    assert accept["PaloAlto-User-Group"] == ["vpn-users"]
    assert accept["Class"] == [b"OU=staff;"]
    assert accept["Session-Timeout"] == [28800]


def test_pyrad_gets_its_proxy_states_back_in_order(client: Client) -> None:
    ada = USERS.with_app()
    states = [b"first", b"second", b"first"]
    challenge = ask(client, ada, ada.password, Proxy_State=states)
    assert challenge["Proxy-State"] == states
    reject = ask(client, ada, "not the password", Proxy_State=states)
    assert reject.code == AccessReject
    assert reject["Proxy-State"] == states


def test_pyrad_without_message_authenticator_is_served_only_where_that_is_allowed(plant: Served) -> None:
    ada = USERS.with_app()

    def send(client: Client) -> Packet:
        request = client.CreateAuthPacket(User_Name=ada.name, NAS_Identifier="pyrad", message_authenticator=False)
        request["User-Password"] = request.PwCrypt(ada.password)
        return client.SendPacket(request)

    with made(plant, CHALLENGE, signed=False, timeout_s=1) as client, pytest.raises(Timeout):
        send(client)
    with made(plant, LENIENT, signed=False) as client:
        assert send(client).code == AccessChallenge


def test_pyrad_sends_accounting(client: Client) -> None:
    request = client.CreateAcctPacket(User_Name="ada", Acct_Session_Id="0815", Acct_Status_Type=1, NAS_Identifier="pyrad")
    assert client.SendPacket(request).code == AccountingResponse
