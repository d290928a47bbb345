"""Packets that are cut, swollen, forged, doubled or out of place, at the real server over UDP."""

import struct

import pytest

from tests.functional.harness import SECRET, Served, Wire, audit_events, last_login, message_of, reason_of, totp_code
from tests.hostile.stronghold import (
    AUTO,
    JOINED,
    LATIN,
    LENIENT,
    MAIN,
    OPEN_PROXY,
    SPECIAL,
    STRANGER,
    USERS,
)
from wardgate.crypto import Secret
from wardgate.radius.client import build_accounting_request, build_status_server
from wardgate.radius.packet import Code, Packet, Type, decode, encode, encode_request
from wardgate.radius.shared_secret import SharedSecret


@pytest.fixture
def wire(stronghold: Served) -> "Wire":
    """A socket of the main NAS."""
    with Wire(stronghold, source=MAIN) as wire:
        yield wire  # type: ignore[misc]


def still_serves(wire: Wire) -> None:
    """After whatever was sent, a login works and no late reply to it comes first."""
    ada = USERS.with_app()
    assert wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE


def resigned(packet: Packet, attributes: list[tuple[int, bytes]]) -> bytes:
    """A packet with these attributes and a right Message-Authenticator in front."""
    secret = SharedSecret(Secret(SECRET))
    return encode_request(packet.code, packet.identifier, packet.authenticator, attributes, secret)


# --- the frame -----------------------------------------------------------------------------------------------------------


def test_truncated_packets_are_dropped(wire: Wire) -> None:
    raw = wire.request("ada0", "x").raw
    for length in (0, 1, 3, 4, 19, 20, 21, len(raw) - 16, len(raw) - 1):
        wire.send(raw[:length])
    assert wire.receive(0.5) is None
    still_serves(wire)


@pytest.mark.parametrize("length", [0, 1, 19, 4097, 65_535])
def test_a_length_that_cannot_be_true_is_dropped(wire: Wire, length: int) -> None:
    raw = wire.request("ada0", "x").raw
    assert wire.silent(raw[:2] + struct.pack(">H", length) + raw[4:], 0.3)


def test_octets_after_the_length_are_padding(wire: Wire) -> None:
    ada = USERS.with_app()
    request = wire.request(ada.name, ada.password)
    wire.send(request.raw + b"\x50\x12" + bytes(200))
    reply = wire.receive()
    assert reply is not None
    assert decode(reply).code is Code.ACCESS_CHALLENGE


@pytest.mark.parametrize(
    "tail", [b"\x20\x00", b"\x20\x01", b"\x20\x05ab", b"\x20", b"\x20\xffab"], ids=["zero", "one", "overrun", "half", "long"]
)
def test_attributes_that_do_not_fit_fail_the_whole_packet(stronghold: Served, tail: bytes) -> None:
    with Wire(stronghold, source=LENIENT) as wire:
        raw = wire.request("ada0", "x", message_authenticator="none").raw + tail
        assert wire.silent(raw[:2] + struct.pack(">H", len(raw)) + raw[4:], 0.3)


@pytest.mark.parametrize("values", [[bytes(16), bytes(16)], [bytes(15)], [bytes(17)], [b""]], ids=["two", "15", "17", "empty"])
def test_a_message_authenticator_that_is_none_is_dropped_even_where_none_is_needed(stronghold: Served, values: list[bytes]) -> None:
    with Wire(stronghold, source=LENIENT) as wire:
        plain = wire.request("ada0", "x", message_authenticator="none")
        forged = [*plain.attributes, *((Type.MESSAGE_AUTHENTICATOR, value) for value in values)]
        assert wire.silent(encode(plain.code, plain.identifier, plain.authenticator, forged), 0.3)


def test_a_packet_of_4096_octets_is_answered_and_one_of_4097_is_not(wire: Wire) -> None:
    ada = USERS.with_app()
    request = wire.request(ada.name, ada.password)
    kept = [each for each in request.attributes if each[0] != Type.MESSAGE_AUTHENTICATOR]
    room = 4096 - len(request.raw)
    while room > 2:
        size = min(253, room - 2)
        size -= room - 2 - size == 1
        kept.append((Type.CLASS, bytes(size)))
        room -= size + 2
    whole = resigned(request, kept)
    assert len(whole) == 4096
    wire.send(whole)
    reply = wire.receive()
    assert reply is not None
    assert decode(reply).code is Code.ACCESS_CHALLENGE
    assert wire.silent(whole[:2] + struct.pack(">H", 4097) + whole[4:] + b"x", 0.3)


def test_a_reply_that_would_exceed_4096_octets_is_cut_and_breaks_nothing(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=OPEN_PROXY) as wire:
        crowd = [(Type.PROXY_STATE, bytes(253))] * 15
        rest = wire.request(ada.name, ada.password, message_authenticator="none", attributes=crowd)
        room = 4096 - len(rest.raw) - 2
        full = wire.request(ada.name, ada.password, message_authenticator="none", attributes=[*crowd, (33, bytes(room))])
        assert len(full.raw) == 4096
        reply = wire.ask(full)
        assert reply.code is Code.ACCESS_REJECT
        assert reply.all(Type.PROXY_STATE) == full.all(Type.PROXY_STATE)
        # A State and nothing else but Proxy-State: not even an empty reply has room. Silence, and no fault.
        alone = encode(Code.ACCESS_REQUEST, 7, bytes(16), [(Type.STATE, b"x"), *crowd, (33, bytes(183)), (33, bytes(60))])
        assert len(alone) > 4096 - 18
        assert wire.silent(alone, 0.5)
    with Wire(stronghold, source=MAIN) as wire:
        still_serves(wire)
    assert "Traceback" not in stronghold.log


# --- who sent it ---------------------------------------------------------------------------------------------------------


def test_an_unknown_source_gets_silence(stronghold: Served) -> None:
    with Wire(stronghold, source=STRANGER) as wire:
        assert wire.silent(wire.request("ada0", "x"), 0.3)


def test_a_wrong_message_authenticator_is_dropped_and_touches_no_cache(wire: Wire) -> None:
    ada = USERS.with_app()
    request = wire.request(ada.name, ada.password)
    forged = bytearray(request.raw)
    forged[25] ^= 1
    # Before the real one, between it and its copy, and after: the forgery is worth nothing and spoils nothing.
    assert wire.silent(bytes(forged), 0.3)
    first = wire.ask(request)
    assert wire.silent(bytes(forged), 0.3)
    assert wire.ask(request).raw == first.raw


def test_a_missing_message_authenticator_is_dropped_where_it_is_required(wire: Wire) -> None:
    assert wire.silent(wire.request("ada0", "x", message_authenticator="none"), 0.3)


@pytest.mark.parametrize("placing", ["first", "last"])
def test_message_authenticator_may_stand_anywhere(wire: Wire, placing: str) -> None:
    ada = USERS.with_app()
    reply = wire.log_in(ada.name, ada.password, message_authenticator=placing)
    assert reply.code is Code.ACCESS_CHALLENGE
    assert reply.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR


def test_a_proxy_state_without_message_authenticator_is_dropped_blast_radius(stronghold: Served) -> None:
    with Wire(stronghold, source=LENIENT) as wire:
        proxied = wire.request("ada0", "x", attributes=[(Type.PROXY_STATE, b"collision")], message_authenticator="none")
        assert wire.silent(proxied, 0.5)


def test_auto_takes_its_decision_from_the_first_packet_and_keeps_it(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=AUTO) as wire:
        assert wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE
        assert wire.silent(wire.request(ada.name, ada.password, message_authenticator="none"), 0.5)


@pytest.mark.parametrize("code", [Code.ACCESS_ACCEPT, Code.ACCESS_CHALLENGE, Code.ACCOUNTING_REQUEST, Code.COA_REQUEST, 99])
def test_packets_that_belong_elsewhere_are_dropped(wire: Wire, code: int) -> None:
    raw = wire.request("ada0", "x").raw
    assert wire.silent(bytes((code,)) + raw[1:], 0.3)


def test_status_server_needs_a_right_message_authenticator(stronghold: Served) -> None:
    with Wire(stronghold, source=LENIENT) as wire:
        signed = build_status_server(wire.secret, identifier=1)
        assert wire.ask(signed).code is Code.ACCESS_ACCEPT
        assert wire.silent(encode(Code.STATUS_SERVER, 2, bytes(16), []), 0.3)
        assert wire.silent(signed.raw[:-1] + bytes((signed.raw[-1] ^ 1,)), 0.3)


def test_a_flood_of_status_server_is_answered_in_measure(stronghold: Served) -> None:
    with Wire(stronghold, source=LENIENT) as wire:
        for number in range(200):
            wire.send(build_status_server(wire.secret, identifier=number))
        answered = 0
        while wire.receive(0.4) is not None:
            answered += 1
        assert 0 < answered < 100


def test_accounting_with_a_wrong_secret_is_not_answered(stronghold: Served) -> None:
    with Wire(stronghold, source=MAIN, port=stronghold.accounting_port) as wire:
        told = [(Type.NAS_IDENTIFIER, b"test"), (Type.USER_NAME, b"ada")]
        right = build_accounting_request(told, wire.secret, identifier=1)
        wrong = build_accounting_request(told, SharedSecret(Secret("guess")), identifier=2)
        assert wire.silent(wrong, 0.3)
        assert wire.ask(right).code is Code.ACCOUNTING_RESPONSE
        assert wire.ask(right).code is Code.ACCOUNTING_RESPONSE


# --- copies --------------------------------------------------------------------------------------------------------------


def test_a_copy_in_flight_is_dropped_and_a_copy_after_the_reply_gets_the_same_octets(stronghold: Served, wire: Wire) -> None:
    phone = SPECIAL["phone"]
    before = _messages_sent(stronghold)
    request = wire.request(phone.name, phone.password)
    for _ in range(5):
        wire.send(request)
    first = wire.receive()
    assert first is not None
    assert wire.receive(0.5) is None
    for _ in range(3):
        wire.send(request)
        assert wire.receive() == first
    # Eight packets, one login, one message.
    assert _messages_sent(stronghold) == before + 1


def _messages_sent(served: Served) -> int:
    return sum("code:sent" in event["kind"] or event["kind"].endswith("code_sent") for event in audit_events(served.data))


def test_the_same_identifier_with_another_authenticator_is_a_new_request(wire: Wire) -> None:
    ada = USERS.with_app()
    one = wire.request(ada.name, ada.password, identifier=77)
    two = wire.request(ada.name, ada.password, identifier=77)
    first, second = wire.ask(one), wire.ask(two)
    assert first.first(Type.STATE) != second.first(Type.STATE)
    # The newer request has displaced the older one, which is now new again: RFC 5080 section 2.2.2.
    assert wire.ask(two).raw == second.raw


def test_the_same_header_with_another_body_is_a_new_request(wire: Wire) -> None:
    ada, bob = USERS.with_app(), USERS.with_app()
    one = wire.request(ada.name, ada.password, identifier=78)
    kept = [(Type.USER_NAME, bob.name.encode()), *(each for each in one.attributes if each[0] not in (1, 80))]
    two = decode(resigned(one, kept))
    assert wire.ask(one).code is Code.ACCESS_CHALLENGE
    assert wire.ask(two).code is Code.ACCESS_REJECT


# --- contents ------------------------------------------------------------------------------------------------------------


def test_three_proxy_states_come_back_unchanged_and_in_order(wire: Wire) -> None:
    ada = USERS.with_app()
    states = [b"one", b"\x00\xff" * 20, b"one"]
    sent = [(Type.PROXY_STATE, state) for state in states]
    challenge = wire.log_in(ada.name, ada.password, attributes=sent)
    accept = wire.answer(ada.name, totp_code(ada.totp_hex), challenge, attributes=sent)
    reject = wire.log_in(ada.name, "wrong", attributes=sent)
    for reply, code in ((challenge, Code.ACCESS_CHALLENGE), (accept, Code.ACCESS_ACCEPT), (reject, Code.ACCESS_REJECT)):
        assert reply.code is code
        assert reply.all(Type.PROXY_STATE) == states


def test_a_reject_holds_nothing_but_what_it_may(wire: Wire) -> None:
    reject = wire.log_in("nobody", "wrong", attributes=[(Type.PROXY_STATE, b"p")])
    assert {kind for kind, _ in reject.attributes} == {Type.MESSAGE_AUTHENTICATOR, Type.REPLY_MESSAGE, Type.PROXY_STATE}


def test_a_vendor_attribute_with_two_parts_tells_both(stronghold: Served, wire: Wire) -> None:
    ada = USERS.with_app()
    parts = bytes((7, 13)) + b"203.0.113.9" + bytes((9, 8)) + b"laptop"
    wire.log_in(ada.name, ada.password, attributes=[(Type.VENDOR_SPECIFIC, (25461).to_bytes(4, "big") + parts)])
    told = last_login(stronghold, ada.name)
    assert told[-1]["client"] == "203.0.113.9"
    assert "laptop" in str(told[-1]["steps"])


@pytest.mark.parametrize("value", [b"\x00\x00\x63\x75\x07\x02", b"\x00\x00\x63\x75\x07\x00ab", b"\x00\x00\x63", b"\xff" * 250])
def test_an_odd_vendor_attribute_never_fails_the_packet(wire: Wire, value: bytes) -> None:
    ada = USERS.with_app()
    assert wire.log_in(ada.name, ada.password, attributes=[(Type.VENDOR_SPECIFIC, value)]).code is Code.ACCESS_CHALLENGE


def test_a_password_in_utf_8_and_in_latin_5(stronghold: Served, wire: Wire) -> None:
    person = SPECIAL["umlaut"]
    assert wire.log_in(person.name, person.password.encode()).code is Code.ACCESS_CHALLENGE
    # Read with losses, these octets would be another password.
    assert wire.log_in(person.name, person.password.encode("iso-8859-9")).code is Code.ACCESS_REJECT
    assert wire.log_in(person.name, person.password.encode().decode("ascii", "ignore")).code is Code.ACCESS_REJECT
    with Wire(stronghold, source=LATIN) as latin:
        assert latin.log_in(person.name, person.password.encode("iso-8859-9")).code is Code.ACCESS_CHALLENGE


def test_a_password_of_128_characters_and_none_longer(wire: Wire) -> None:
    person = SPECIAL["long"]
    assert len(person.password) == 128
    challenge = wire.log_in(person.name, person.password)
    assert wire.answer(person.name, totp_code(person.totp_hex), challenge).code is Code.ACCESS_ACCEPT
    assert wire.log_in(person.name, person.password[:-1]).code is Code.ACCESS_REJECT
    request = wire.request(person.name, person.password)
    kept = [each for each in request.attributes if each[0] not in (Type.USER_PASSWORD, Type.MESSAGE_AUTHENTICATOR)]
    for size in (144, 0, 17):
        assert wire.silent(resigned(request, [*kept, (Type.USER_PASSWORD, bytes(size))]), 0.4)


@pytest.mark.parametrize("name", ["", "x" * 253, "ada\x00", "ada\n2026 root logged in", "\u202eada", "' or 1=1 --"])
def test_strange_names_are_nobody(wire: Wire, name: str) -> None:
    assert wire.log_in(name, "whatever").code is Code.ACCESS_REJECT


@pytest.mark.parametrize(
    "proof",
    [
        [(Type.EAP_MESSAGE, b"\x02\x01\x00\x09\x01ada")],
        [(Type.VENDOR_SPECIFIC, b"\x00\x00\x01\x37\x19\x34" + bytes(50))],
        [(Type.CHAP_PASSWORD, bytes(17))],
        [],
        [(Type.USER_PASSWORD, bytes(16)), (Type.USER_PASSWORD, bytes(16))],
        [(Type.USER_PASSWORD, bytes(16)), (Type.CHAP_PASSWORD, bytes(17))],
        [(Type.USER_PASSWORD, bytes(16)), (Type.EAP_MESSAGE, b"\x02\x01\x00\x09\x01ada")],
    ],
    ids=["eap", "ms-chap", "chap", "nothing", "two passwords", "pap and chap", "pap and eap"],
)
def test_other_proofs_are_refused_at_once_and_count_nowhere(wire: Wire, proof: list[tuple[int, bytes]]) -> None:
    ada = USERS.with_app()
    template = wire.request(ada.name, "x")
    kept = [each for each in template.attributes if each[0] not in (Type.USER_PASSWORD, Type.MESSAGE_AUTHENTICATOR)]
    for number in range(7):
        secret = SharedSecret(Secret(SECRET))
        raw = encode_request(Code.ACCESS_REQUEST, number, bytes((number,)) * 16, [*kept, *proof], secret)
        assert wire.ask(decode(raw), 0.25).code is Code.ACCESS_REJECT
    assert wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE


def test_password_and_code_in_one_field_are_one_guess_per_packet(stronghold: Served) -> None:
    ada = USERS.with_app()
    code = totp_code(ada.totp_hex)
    with Wire(stronghold, source=JOINED) as wire:
        # The password alone, or with a code that is none, says no more than a wrong password does.
        alone, wrong = wire.log_in(ada.name, ada.password), wire.log_in(ada.name, f"{ada.password}000000")
        guess = wire.log_in(ada.name, f"guess{code}")
        assert message_of(alone)[:-8] == message_of(wrong)[:-8] == message_of(guess)[:-8]
        assert [reason_of(stronghold, each) for each in (alone, wrong)] == ["code_missing", "code_wrong"]
        assert wire.log_in(ada.name, ada.password + code).code is Code.ACCESS_ACCEPT
