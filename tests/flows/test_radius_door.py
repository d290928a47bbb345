"""The RADIUS door's translation: packets into engine calls, outcomes into attributes. Whole packets, no sockets."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import World, floor, is_granted, rule
from wardgate.audit.incidents import IncidentKind
from wardgate.audit.timeline import Trail
from wardgate.config.reference import ClearValue
from wardgate.crypto import Secret
from wardgate.engine.outcome import Challenge, Denied, Granted, Waiting
from wardgate.engine.settings import BrakeSettings, ReleaseRuleSettings
from wardgate.errors import PacketError
from wardgate.radius.client import build_access_request
from wardgate.radius.credentials import credential
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.door import (
    Reply,
    failure_reply,
    fingerprint,
    origin_of,
    refusal_reply,
    reply_for,
    serve_login,
    split_field,
    text_of,
)
from wardgate.radius.nas import Nas, build_nas, refusal_of
from wardgate.radius.packet import Attribute, Code, MessageAuthenticator, Packet, SharedSecret, Type, decode, encode_reply
from wardgate.radius.release import Release, compile_release
from wardgate.radius.settings import NasSettings
from wardgate.texts import Text

SECRET = Secret(b"a shared secret of 28 octets")
SHARED = SharedSecret(SECRET)
SOURCE = ("192.0.2.10", 50_000)
NOTHING_RELEASED = compile_release([], BUILT_IN)
CLIENT = (Type.CALLING_STATION_ID, b"203.0.113.7")


def a_nas(**settings: Any) -> Nas:
    fields: dict[str, Any] = {"name": "hq", "addresses": ("192.0.2.10",), "application": "vpn", **settings}
    return build_nas(NasSettings(secret=ClearValue(value="unused"), **fields), SECRET)


@dataclass
class Door:
    """A NAS in front of the world."""

    world: World
    nas: Nas = field(default_factory=a_nas)
    release: Release = NOTHING_RELEASED
    identifier: int = 0
    trail: Trail | None = None

    async def sends(
        self,
        user: str,
        password: bytes | str,
        *,
        state: bytes | None = None,
        source: tuple[str, int] = SOURCE,
        attributes: tuple[Attribute, ...] = (CLIENT,),
        nas_identifier: str | None = None,
    ) -> Reply:
        """A packet of its own."""
        self.identifier = (self.identifier + 1) % 256
        packet = build_access_request(
            user, password, SHARED, identifier=self.identifier, state=state, attributes=attributes, nas_identifier=nas_identifier
        )
        return await self.takes(packet, source)

    async def takes(self, packet: Packet, source: tuple[str, int] = SOURCE) -> Reply:
        """This very packet."""
        self.trail = Trail(self.world.clock, "radius")
        releases = {self.nas.name: self.release}
        return await serve_login(self.world.engine, self.nas, packet, credential(packet), source, self.trail, lambda: releases)


def one(reply: Reply, kind: int) -> bytes:
    [value] = [value for number, value in reply.attributes if number == kind]
    return value


def message(reply: Reply) -> str:
    return one(reply, Type.REPLY_MESSAGE).decode()


async def ada(world: World, **fields: object) -> None:
    await world.give_totp(await world.person("ada", **fields))


# --- a login ---------------------------------------------------------------------------------------------------------


async def test_a_login_of_two_packets(world: World) -> None:
    await ada(world)
    door = Door(world)
    asked = await door.sends("ada", "correct horse")
    assert asked.code is Code.ACCESS_CHALLENGE
    assert message(asked) == "Enter the code from your app."
    assert 16 <= len(one(asked, Type.STATE)) <= 253
    assert one(asked, Type.SESSION_TIMEOUT) == (180).to_bytes(4, "big")
    assert one(asked, Type.PROMPT) == (0).to_bytes(4, "big")

    accepted = await door.sends("ada", world.totp(), state=one(asked, Type.STATE))
    assert (accepted.code, accepted.attributes, accepted.not_before) == (Code.ACCESS_ACCEPT, [], None)
    assert door.trail is not None
    assert (door.trail.nas, door.trail.source, door.trail.client) == ("hq", "192.0.2.10", "203.0.113.7")
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["password", "totp"], "what was proved here, and each once"


@pytest.mark.parametrize("mode", ["challenge", "password_then_code", "code_then_password"])
async def test_the_nas_vouches_for_a_password_in_code_only_mode_alone(world: World, mode: str) -> None:
    world.use_policy([rule("password only", ["password"])])
    await ada(world)
    assert (await Door(world, a_nas(mode=mode)).sends("ada", "correct horse")).code is Code.ACCESS_ACCEPT
    [granted] = await world.payloads("engine:login:granted")
    assert (granted["factors"], granted["assurance"]) == (["password"], 1)


async def test_an_accept_carries_what_the_application_releases(world: World) -> None:
    await ada(world, groups=("vpn-users",))
    release = compile_release([ReleaseRuleSettings(add={"Filter-Id": "{group}", "Class": "{mail}"})], BUILT_IN)
    door = Door(world, release=release)
    asked = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", world.totp(), state=one(asked, Type.STATE))
    assert accepted.attributes == [(11, b"vpn-users")]


async def test_a_value_that_could_not_be_released_is_told_in_the_timeline(world: World) -> None:
    await ada(world, display_name="x" * 300)
    door = Door(world, release=compile_release([ReleaseRuleSettings(add={"Filter-Id": "{name}"})], BUILT_IN))
    asked = await door.sends("ada", "correct horse")
    accepted = await door.sends("ada", world.totp(), state=one(asked, Type.STATE))
    assert (accepted.code, accepted.attributes) == (Code.ACCESS_ACCEPT, [])
    assert door.trail is not None
    assert any(what == "a reply attribute was left out" for _, what, _ in door.trail.steps)


async def test_a_reject_carries_one_line_that_ends_with_the_reference(world: World) -> None:
    await ada(world)
    door = Door(world)
    rejected = await door.sends("ada", "guess")
    assert rejected.code is Code.ACCESS_REJECT
    assert [number for number, _ in rejected.attributes] == [Type.REPLY_MESSAGE]
    assert door.trail is not None
    assert message(rejected).endswith(door.trail.reference)
    assert rejected.not_before == pytest.approx(door.trail.started + 0.3)


async def test_a_wrong_code_brings_a_new_state_and_the_old_one_is_dead(world: World) -> None:
    await ada(world)
    door = Door(world)
    first = await door.sends("ada", "correct horse")
    second = await door.sends("ada", world.wrong_code(), state=one(first, Type.STATE))
    assert second.code is Code.ACCESS_CHALLENGE
    assert one(second, Type.STATE) != one(first, Type.STATE)
    assert (await door.sends("ada", world.totp(), state=one(first, Type.STATE))).code is Code.ACCESS_REJECT
    assert (await door.sends("ada", world.totp(), state=one(second, Type.STATE))).code is Code.ACCESS_ACCEPT


async def test_every_reply_fits_what_gateways_can_show(world: World) -> None:
    """GlobalProtect reads respMsg from one line of script: no quote, backslash, angle bracket or line break, about 120 signs."""
    dave = await world.person("dave", phone="+905321234567", mail=f"{'d' * 60}@{'mail.' * 12}acme.test", language="tr")
    await world.give_totp(dave)
    await world.give_hotp(dave)
    await world.give_recovery_codes(dave)
    door = Door(world, a_nas(vendor="paloalto"))
    reply = await door.sends("dave", "correct horse")
    seen = [reply]
    for word in ("sms", "mail", "000000", "recovery", "000000", ""):
        reply = await door.sends("dave", word, state=one(reply, Type.STATE))
        seen.append(reply)
        if reply.code is not Code.ACCESS_CHALLENGE:
            break
    for reply in seen:
        text = message(reply)
        assert 0 < len(text) <= 120
        assert len(text.encode()) <= 253
        assert not set('"\\<>\r\n') & set(text)
        assert [number for number, _ in reply.attributes].count(Type.REPLY_MESSAGE) == 1


async def test_names_that_would_break_a_page_do_not_come_back_in_a_reply(world: World) -> None:
    world.use_policy([rule("nobody", deny=True)])
    world.application = type(world.application)(name="vpn", title='Acme "VPN"\n<script>alert(1)</script>' + "x" * 200)
    await world.person("ada")
    rejected = await Door(world).sends("ada", "correct horse")
    assert not set('"\\<>\r\n') & set(message(rejected))
    assert len(message(rejected)) <= 120


# --- State -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [b"", b"x", b"\0" * 24, b"y" * 253])
async def test_an_unknown_state_is_rejected_and_never_falls_through_to_the_password(world: World, state: bytes) -> None:
    await ada(world)
    rejected = await Door(world).sends("ada", "correct horse", state=state)
    assert rejected.code is Code.ACCESS_REJECT
    assert world.directory.checks == 0


async def test_two_states_are_as_good_as_none(world: World) -> None:
    await ada(world)
    door = Door(world)
    state = one(await door.sends("ada", "correct horse"), Type.STATE)
    for others in ((Type.STATE, state), (Type.STATE, b"other")):
        for password in (world.totp(), "correct horse"):
            checks = world.directory.checks
            rejected = await door.sends("ada", password, state=state, attributes=(CLIENT, others))
            assert rejected.code is Code.ACCESS_REJECT
            assert world.directory.checks == checks, "it must not fall through to the password"
    assert (await door.sends("ada", world.totp(), state=state)).code is Code.ACCESS_ACCEPT


async def test_a_state_without_any_password_repeats_the_question(world: World) -> None:
    await ada(world)
    door = Door(world)
    asked = await door.sends("ada", "correct horse")
    whole = build_access_request(
        "ada", "", SHARED, identifier=9, state=one(asked, Type.STATE), attributes=(CLIENT,), nas_identifier=None
    )
    bare = Packet(
        whole.code,
        whole.identifier,
        whole.authenticator,
        tuple(each for each in whole.attributes if each[0] != Type.USER_PASSWORD),
        whole.raw,
    )
    again = await door.takes(bare)
    assert again.code is Code.ACCESS_CHALLENGE
    assert message(again) == message(asked)


async def test_two_nas_behind_one_address_cannot_use_each_others_state(world: World) -> None:
    await ada(world)
    portal, gateway = Door(world), Door(world)
    mine = await portal.sends("ada", "correct horse", nas_identifier="portal")
    theirs = await gateway.sends("ada", "correct horse", nas_identifier="gateway")
    assert (
        await gateway.sends("ada", world.totp(), state=one(mine, Type.STATE), nas_identifier="gateway")
    ).code is Code.ACCESS_REJECT
    assert (await gateway.sends("ada", world.totp(), state=one(mine, Type.STATE))).code is Code.ACCESS_REJECT
    assert (
        await portal.sends("ada", world.totp(), state=one(mine, Type.STATE), nas_identifier="portal")
    ).code is Code.ACCESS_ACCEPT
    world.later(30)
    assert (
        await gateway.sends("ada", world.totp(), state=one(theirs, Type.STATE), nas_identifier="gateway")
    ).code is Code.ACCESS_ACCEPT


async def test_an_ha_pair_with_two_addresses_is_one_nas(world: World) -> None:
    await ada(world)
    door = Door(world)
    state = one(await door.sends("ada", "correct horse"), Type.STATE)
    assert (await door.sends("ada", world.totp(), state=state, source=("192.0.2.11", 40_000))).code is Code.ACCESS_ACCEPT


async def test_another_configured_nas_with_the_same_secret_cannot_use_the_state(world: World) -> None:
    await ada(world)
    state = one(await Door(world).sends("ada", "correct horse"), Type.STATE)
    assert (await Door(world, a_nas(name="branch")).sends("ada", world.totp(), state=state)).code is Code.ACCESS_REJECT


async def test_the_same_packet_again_gets_the_same_reply_and_any_change_none(world: World) -> None:
    await ada(world)
    door = Door(world)
    state = one(await door.sends("ada", "correct horse"), Type.STATE)
    packet = build_access_request("ada", world.totp(), SHARED, identifier=7, state=state, attributes=(CLIENT,), nas_identifier=None)
    first = await door.takes(packet)
    assert (await door.takes(packet)) == first
    assert first.code is Code.ACCESS_ACCEPT
    again = decode(packet.raw[:1] + b"\x08" + packet.raw[2:])
    for changed, source in ((packet, ("192.0.2.10", 50_001)), (packet, ("192.0.2.11", 50_000)), (again, SOURCE)):
        assert (await door.takes(changed, source)).code is Code.ACCESS_REJECT


def test_a_fingerprint_covers_every_octet_and_where_the_packet_came_from() -> None:
    packet = build_access_request("ada", "x", SHARED, identifier=7)
    prints = {fingerprint(packet, SOURCE), fingerprint(packet, ("192.0.2.10", 50_001)), fingerprint(packet, ("192.0.2.1", 50_000))}
    # An address and a port must not run into each other.
    prints |= {fingerprint(packet, ("192.0.2.1", 10)), fingerprint(packet, ("192.0.2.11", 0))}
    for at in range(len(packet.raw)):
        raw = packet.raw[:at] + bytes((packet.raw[at] ^ 1,)) + packet.raw[at + 1 :]
        prints.add(fingerprint(Packet(packet.code, packet.identifier, packet.authenticator, packet.attributes, raw), SOURCE))
    assert len(prints) == 5 + len(packet.raw)


# --- one field: its one interpretation ---------------------------------------------------------------------------------


def read(typed: bytes, **settings: Any) -> tuple[bytes | None, bytes | None, bool]:
    found = split_field(a_nas(**settings), typed)
    return (
        found.password.reveal() if found.password is not None else None,
        found.code.reveal() if found.code is not None else None,
        found.can_challenge,
    )


@pytest.mark.parametrize(
    ("typed", "settings", "password", "code"),
    [
        (b"secret123456", {}, b"secret", b"123456"),
        (b"secret 123456", {}, b"secret ", b"123456"),
        (b"123456", {}, b"", b"123456"),
        (b"1234567", {}, b"1", b"234567"),
        (b"12345", {}, b"12345", None),
        (b"secret", {}, b"secret", None),
        (b"", {}, b"", None),
        (b"secret12345x", {}, b"secret12345x", None),
        (b"secret12345", {"code_digits": 8}, b"secret12345", None),
        (b"secret12345678", {"code_digits": 8}, b"secret", b"12345678"),
        ("geheim１２３４５６".encode(), {}, "geheim１２３４５６".encode(), None),
        (b"secret,123456", {"separator": ","}, b"secret", b"123456"),
        (b"se,cret,123456", {"separator": ","}, b"se,cret", b"123456"),
        (b"secret123456", {"separator": ","}, b"secret123456", None),
        (b"secret,", {"separator": ","}, b"secret", b""),
        (b",123456", {"separator": ","}, b"", b"123456"),
        (b",", {"separator": ","}, b"", b""),
        (b"secret,07QF-2M91-4TRB0", {"separator": ","}, b"secret", b"07QF-2M91-4TRB0"),
        (b"secret::123456", {"separator": "::"}, b"secret", b"123456"),
        ("geheim§123456".encode(), {"separator": "§"}, b"geheim", b"123456"),
    ],
)
def test_password_then_code(typed: bytes, settings: dict[str, Any], password: bytes, code: bytes | None) -> None:
    assert read(typed, mode="password_then_code", **settings) == (password, code, False)


@pytest.mark.parametrize(
    ("typed", "settings", "password", "code"),
    [
        (b"123456secret", {}, b"secret", b"123456"),
        (b"123456", {}, b"", b"123456"),
        (b"12345secret", {}, b"12345secret", None),
        (b"1234567890", {}, b"7890", b"123456"),
        (b"", {}, b"", None),
        (b"12345678secret", {"code_digits": 8}, b"secret", b"12345678"),
        (b"123456,secret", {"separator": ","}, b"secret", b"123456"),
        (b"123456,se,cret", {"separator": ","}, b"se,cret", b"123456"),
        (b"123456secret", {"separator": ","}, b"123456secret", None),
        (b",secret", {"separator": ","}, b"secret", b""),
    ],
)
def test_code_then_password(typed: bytes, settings: dict[str, Any], password: bytes, code: bytes | None) -> None:
    assert read(typed, mode="code_then_password", **settings) == (password, code, False)


def scrv1(password: bytes, code: bytes) -> bytes:
    return b"SCRV1:" + base64.b64encode(password) + b":" + base64.b64encode(code)


@pytest.mark.parametrize("mode", ["password_then_code", "code_then_password"])
@pytest.mark.parametrize("separator", ["", ","])
@pytest.mark.parametrize(
    ("password", "code"), [(b"se:cr,et", b"123456"), (b"", b"123456"), (b"secret", b""), (b"\xc3\xa4", b"07QF2M914TRB0")]
)
def test_openvpns_static_challenge(mode: str, separator: str, password: bytes, code: bytes) -> None:
    assert read(scrv1(password, code), mode=mode, separator=separator) == (password, code, False)


@pytest.mark.parametrize(
    "typed", [b"SCRV1:", b"SCRV1:x", b"SCRV1:!!:!!", b"SCRV1:YQ==:MTIz:x", b"scrv1:YQ==:MTIz", b"SCRV1:YQ=:MTIz"]
)
def test_what_only_looks_like_it_is_read_as_a_password(typed: bytes) -> None:
    assert read(typed, mode="password_then_code") == (typed, None, False)


@pytest.mark.parametrize("typed", [b"secret", b"secret123456", b"123456", b"", scrv1(b"secret", b"123456"), b"sms"])
def test_where_a_challenge_can_be_shown_the_whole_field_is_the_password(typed: bytes) -> None:
    assert read(typed) == (typed, None, True)


@pytest.mark.parametrize(
    "typed", [b"123456", b"123 456", b"07QF-2M91-4TRB0", b"ABCDEFGHJKMNP", b"abcd-efgh-jkmnp", b"1", b"x1", b"a" * 128]
)
def test_code_only_reads_a_code(typed: bytes) -> None:
    assert read(typed, mode="code_only") == (None, typed, False)


@pytest.mark.parametrize("typed", [b"", b"  ", b"\t", b"sms", b"SMS", b"mail", b"e-mail", b"recovery", b"kurtarma", b" app ", b"-"])
def test_code_only_asks_when_a_word_or_nothing_was_typed(typed: bytes) -> None:
    assert read(typed, mode="code_only") == (None, None, True)


@given(
    typed=st.binary(max_size=128),
    mode=st.sampled_from(["challenge", "password_then_code", "code_then_password", "code_only"]),
    separator=st.sampled_from(["", ",", "::", "§"]),
    digits=st.integers(4, 10),
)
def test_whatever_is_typed_has_one_reading_and_loses_nothing(typed: bytes, mode: str, separator: str, digits: int) -> None:
    password, code, can_challenge = read(typed, mode=mode, separator=separator, code_digits=digits)
    if mode == "code_only":
        assert password is None
        assert (code is None) is can_challenge
        assert code in (None, typed)
    elif mode == "challenge":
        assert (password, code, can_challenge) == (typed, None, True)
    else:
        assert password is not None
        assert not can_challenge
        if not typed.startswith(b"SCRV1:"):
            parts = [password] if code is None else [password, code] if mode == "password_then_code" else [code, password]
            assert separator.encode().join(parts) == typed


@given(password=st.binary(max_size=60), code=st.from_regex(rb"[0-9]{6}", fullmatch=True), separator=st.sampled_from(["", ",", "§"]))
def test_what_a_person_types_is_read_as_meant(password: bytes, code: bytes, separator: str) -> None:
    glue = separator.encode()
    if password.startswith(b"SCRV1:"):
        return
    assert read(password + glue + code, mode="password_then_code", separator=separator) == (password, code, False)
    if not (code + glue + password).startswith(b"SCRV1:"):
        assert read(code + glue + password, mode="code_then_password", separator=separator) == (password, code, False)


async def test_one_packet_is_one_password_check_in_every_mode(world: World) -> None:
    await ada(world)
    for mode, typed in [
        ("challenge", "guess"),
        ("password_then_code", "guess123456"),
        ("password_then_code", "guess"),
        ("code_then_password", "123456guess"),
    ]:
        before = world.directory.checks
        await Door(world, a_nas(mode=mode)).sends("ada", typed, attributes=((Type.CALLING_STATION_ID, mode.encode()),))
        assert world.directory.checks == before + 1, mode


async def test_a_field_with_password_and_code_lets_in(world: World) -> None:
    await ada(world)
    door = Door(world, a_nas(mode="password_then_code", separator=","))
    assert (await door.sends("ada", f"correct horse,{world.totp()}")).code is Code.ACCESS_ACCEPT
    world.later(30)
    assert (
        await Door(world, a_nas(mode="code_then_password")).sends("ada", f"{world.totp()}correct horse")
    ).code is Code.ACCESS_ACCEPT
    world.later(30)
    field_text = scrv1(b"correct horse", world.totp().encode())
    assert (await Door(world, a_nas(mode="password_then_code")).sends("ada", field_text)).code is Code.ACCESS_ACCEPT


async def test_replies_of_one_request_modes_do_not_tell_which_part_was_wrong(world: World) -> None:
    world.use_policy([rule("all", ["password"], ["totp", "sms"])], [floor("root", strong=2, when={"user": "root"})])
    await ada(world)
    await world.person("frank")
    await world.give_totp(await world.person("root"))
    door = Door(world, a_nas(mode="password_then_code", separator=","))
    replies = []
    for user, typed in [
        ("ada", "guess,123456"),
        ("ada", "guess"),
        ("ada", f"correct horse,{world.wrong_code()}"),
        ("ada", "correct horse,"),
        ("ada", "correct horse"),
        ("frank", "correct horse,123456"),
        ("root", "correct horse,123456"),
        ("nobody", "correct horse,123456"),
        ("", ","),
    ]:
        reply = await door.sends(user, typed)
        assert reply.not_before is not None
        assert door.trail is not None
        replies.append((reply.code, message(reply)[:-8], len(reply.attributes), round(reply.not_before - door.trail.started, 6)))
    assert len(set(replies)) == 1


async def test_code_only_lets_in_by_the_code_and_challenges_for_a_word(world: World) -> None:
    await ada(world)
    door = Door(world, a_nas(mode="code_only"))
    asked = await door.sends("ada", "sms")
    assert asked.code is Code.ACCESS_CHALLENGE
    assert (await door.sends("ada", world.totp(), state=one(asked, Type.STATE))).code is Code.ACCESS_ACCEPT
    world.later(30)
    assert (await door.sends("ada", world.totp())).code is Code.ACCESS_ACCEPT
    assert (await door.sends("ada", world.totp())).code is Code.ACCESS_REJECT


# --- characters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "sent"),
    [
        ("utf-8", "pässwörd ı".encode()),
        ("iso-8859-9", "pässwörd ı".encode("iso-8859-9")),
        ("windows-1254", "pässwörd ı".encode("cp1254")),
    ],
)
async def test_a_password_in_the_charset_of_the_nas_is_the_same_password(world: World, charset: str, sent: bytes) -> None:
    await world.give_totp(await world.person("ada", "pässwörd ı".encode()))
    assert (await Door(world, a_nas(charset=charset)).sends("ada", sent)).code is Code.ACCESS_CHALLENGE


async def test_octets_that_no_charset_has_are_taken_as_they_are_and_not_dropped(world: World) -> None:
    """Decoding with losses would make `p\\xe4ss` and `pss` one password."""
    await world.give_totp(await world.person("ada", b"p\xe4ss"))
    assert (await Door(world).sends("ada", b"p\xe4ss")).code is Code.ACCESS_CHALLENGE
    for other in (b"pss", b"p?ss", "p\ufffdss".encode(), "päss".encode()):
        assert (await Door(world).sends("ada", other)).code is Code.ACCESS_REJECT


@pytest.mark.parametrize("password", [b"x" * 128, b" leading and trailing ", b"\tt", b"a\0b"])
async def test_a_password_is_not_trimmed(world: World, password: bytes) -> None:
    await world.give_totp(await world.person("ada", password))
    assert (await Door(world).sends("ada", password)).code is Code.ACCESS_CHALLENGE
    assert (await Door(world).sends("ada", password.strip()[:100] + b"!")).code is Code.ACCESS_REJECT


@given(st.binary(max_size=253))
def test_a_name_of_any_octets_is_text_without_nul(value: bytes) -> None:
    for charset in ("utf-8", "iso-8859-9", "windows-1254"):
        text = text_of(value, a_nas(charset=charset))
        assert "\0" not in text
        text.encode()


async def test_a_password_field_that_cannot_be_one_is_no_login(world: World) -> None:
    await ada(world)
    whole = build_access_request("ada", "x", SHARED, identifier=1)
    for hidden in (b"", b"x" * 15, b"x" * 17, b"x" * 144):
        attributes = tuple((number, hidden if number == Type.USER_PASSWORD else value) for number, value in whole.attributes)
        with pytest.raises(PacketError):
            await Door(world).takes(Packet(whole.code, whole.identifier, whole.authenticator, attributes, whole.raw))
    assert world.directory.checks == 0


# --- what the NAS tells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"203.0.113.7", "203.0.113.7"),
        (b"::ffff:203.0.113.7", "203.0.113.7"),
        (b"2001:DB8::1", "2001:db8::1"),
        (b"00-11-22-33-44-55", None),
        (b"", None),
    ],
)
def test_the_clients_address_is_taken_where_the_nas_tells_one(value: bytes, client: str | None) -> None:
    packet = build_access_request("ada", "x", SHARED, identifier=1, attributes=((Type.CALLING_STATION_ID, value),))
    origin = origin_of(a_nas(), packet, SOURCE)
    assert origin.client == client
    assert (origin.door, origin.source, origin.nas, origin.nas_identifier) == ("radius", "192.0.2.10", "hq", "wardgate")


async def test_an_address_that_a_user_makes_up_evades_no_brake(world: World) -> None:
    await ada(world)
    told = Door(world, a_nas(trust_client_address=False))
    for number in range(6):
        await told.sends("ada", "guess", attributes=((Type.CALLING_STATION_ID, f"203.0.113.{number}".encode()),))
        assert told.trail is not None
        assert told.trail.client == f"203.0.113.{number}", "it is shown all the same"
    assert told.trail is not None
    assert told.trail.reason == "strong_first", "no password of that name is looked at any more"


async def test_an_address_that_a_user_makes_up_opens_no_policy_and_keeps_nobody_out(world: World) -> None:
    world.use_policy(
        [rule("office", ["password"], when={"network": ["203.0.113.0/24"]}), rule("elsewhere", ["password"], ["totp"])]
    )
    await ada(world)
    assert (await Door(world).sends("ada", "correct horse")).code is Code.ACCESS_ACCEPT
    assert (await Door(world, a_nas(trust_client_address=False)).sends("ada", "correct horse")).code is Code.ACCESS_CHALLENGE
    # Guesses in the name of somebody's address do not brake that address.
    world.brakes = BrakeSettings(source_failures=3)
    for number in range(5):
        await Door(world, a_nas(trust_client_address=False)).sends(f"nobody{number}", "guess")
    assert (await Door(world).sends("ada", "correct horse")).code is Code.ACCESS_ACCEPT


def test_a_state_belongs_to_the_nas_by_name_and_identifier() -> None:
    bindings = {a_nas(name=name).binding(identifier) for name in ("a", "b") for identifier in ("", "x", "y")}
    assert len(bindings) == 6


# --- other outcomes --------------------------------------------------------------------------------------------------


def test_a_grant_without_rules_is_an_accept_with_nothing_in_it() -> None:
    granted = Granted("s", "ada", "d", "r", "", None, (), {}, ("password",), 1, "vpn", "REF")
    trail = Trail(World().clock, "radius")
    assert reply_for(a_nas(), granted, trail, {"hq": NOTHING_RELEASED}) == Reply(Code.ACCESS_ACCEPT, [])
    assert is_granted(granted)


def test_a_nas_whose_rules_are_not_known_any_more_is_told_nothing_and_lets_nobody_in() -> None:
    """An attribute that restricts what was let in would be missing."""
    granted = Granted("s", "ada", "d", "r", "", None, (), {}, ("password",), 1, "vpn", "REF")
    trail = Trail(World().clock, "radius")
    reply = reply_for(a_nas(), granted, trail, {"branch": NOTHING_RELEASED})
    assert reply.code is Code.ACCESS_REJECT
    assert trail.result == "denied"


def test_waiting_is_a_challenge_without_a_time() -> None:
    waiting = Waiting(b"handle", Text("code.ask_totp"), 5.0, "en", "REF")
    reply = reply_for(a_nas(), waiting, Trail(World().clock, "radius"), {})
    assert reply.code is Code.ACCESS_CHALLENGE
    assert one(reply, Type.STATE) == b"handle"
    assert Type.SESSION_TIMEOUT not in [number for number, _ in reply.attributes]


def test_a_prompt_is_cut_at_whole_parts_the_most_important_first() -> None:
    texts = (
        Text("code.wrong", {"left": 2}),
        Text("code.ask_sms", {"masked": "m" * 40}),
        Text("code.other_ways", {"words": "w" * 60}),
    )
    challenge = Challenge(b"handle", "sms", texts, 180, "en", "REF")
    reply = reply_for(a_nas(), challenge, Trail(World().clock, "radius"), {})
    assert message(reply) == f"The code is not right; 2 tries left. Enter the code sent to {'m' * 40}."


@pytest.mark.parametrize("language", [None, "tr"])
def test_when_nothing_can_be_decided_the_reply_is_a_reject(language: str | None) -> None:
    nas = a_nas(language=language)
    for reply in (failure_reply(nas, "ABCD1234", 5.0), refusal_reply(nas, "ABCD1234")):
        assert reply.code is Code.ACCESS_REJECT
        assert message(reply).endswith("ABCD1234")
    assert failure_reply(nas, "ABCD1234", 5.0).not_before == 5.0


def test_a_refusal_keeps_its_moment_and_its_reference() -> None:
    denied = Denied("x", Text("signin.failed", {"ref": "ABCD1234"}), "tr", "ABCD1234", not_before=7.5)
    reply = reply_for(a_nas(), denied, Trail(World().clock, "radius"), {})
    assert reply.not_before == 7.5
    assert message(reply).endswith(" ABCD1234")
    assert message(reply).count("ABCD1234") == 1


async def test_refusals_are_equal_packets_but_for_reference_and_authenticators(world: World) -> None:
    await ada(world)
    world.directory.add("closed", "correct horse")
    sizes = set()
    for user, password in [("ada", "guess"), ("nobody", "guess"), ("closed", "guess"), ("ada", "")]:
        packet = build_access_request(user, password, SHARED, identifier=1, attributes=(CLIENT,))
        reply = await Door(world).takes(packet)
        sizes.add(len(encode_reply(packet, reply.code, reply.attributes, SHARED)))
    assert len(sizes) == 1


# --- whether a packet may come in at all -----------------------------------------------------------------------------

PROXY = ((Type.PROXY_STATE, b"p"),)


def access(*attributes: Attribute) -> Packet:
    return build_access_request("ada", "x", SHARED, identifier=1, attributes=attributes, message_authenticator="none")


@pytest.mark.parametrize("policy", ["require", "accept_missing", "auto"])
@pytest.mark.parametrize("signature", [MessageAuthenticator.WRONG, MessageAuthenticator.MALFORMED])
@pytest.mark.parametrize("signs", [False, True])
def test_a_wrong_message_authenticator_never_comes_in(policy: str, signature: MessageAuthenticator, signs: bool) -> None:
    assert refusal_of(a_nas(message_authenticator=policy), access(), signature, signs) is IncidentKind.WRONG_SECRET


@pytest.mark.parametrize("policy", ["require", "accept_missing", "auto"])
@pytest.mark.parametrize("signs", [False, True])
def test_a_right_one_always_comes_in(policy: str, signs: bool) -> None:
    nas = a_nas(message_authenticator=policy)
    assert refusal_of(nas, access(*PROXY), MessageAuthenticator.VALID, signs) is None


@pytest.mark.parametrize(
    ("policy", "signs", "refused"),
    [
        ("require", False, True),
        ("accept_missing", False, False),
        ("accept_missing", True, False),
        ("auto", False, False),
        ("auto", True, True),
    ],
)
def test_a_missing_one_comes_in_where_the_nas_may_leave_it_out(policy: str, signs: bool, refused: bool) -> None:
    expected = IncidentKind.MESSAGE_AUTHENTICATOR_MISSING if refused else None
    assert refusal_of(a_nas(message_authenticator=policy), access(), MessageAuthenticator.ABSENT, signs) is expected


@pytest.mark.parametrize("policy", ["accept_missing", "auto"])
def test_blastradius_is_dropped_by_its_shape(policy: str) -> None:
    """CVE-2024-3596 needs Proxy-State in a request without Message-Authenticator to hide its garbage in."""
    nas = a_nas(message_authenticator=policy)
    assert refusal_of(nas, access(*PROXY), MessageAuthenticator.ABSENT, False) is IncidentKind.PROXY_STATE_UNSIGNED
    behind_a_proxy = a_nas(message_authenticator=policy, limit_proxy_state=False)
    assert refusal_of(behind_a_proxy, access(*PROXY), MessageAuthenticator.ABSENT, False) is None


@pytest.mark.parametrize("policy", ["accept_missing", "auto"])
def test_eap_and_status_server_need_a_message_authenticator_whatever_the_policy(policy: str) -> None:
    nas = a_nas(message_authenticator=policy)
    missing = IncidentKind.MESSAGE_AUTHENTICATOR_MISSING
    assert refusal_of(nas, access((Type.EAP_MESSAGE, b"x")), MessageAuthenticator.ABSENT, False) is missing
    status = Packet(Code.STATUS_SERVER, 1, bytes(16), (), b"")
    assert refusal_of(nas, status, MessageAuthenticator.ABSENT, False) is missing
