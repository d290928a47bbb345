"""Every demo user logs in as the demo promises, over real UDP."""

from tests.functional.harness import (
    Served,
    Wire,
    factor_of,
    hotp_code,
    message_count,
    message_of,
    newest_code,
    password_of,
    read_outbox,
    reason_of,
    told_now,
    totp_code,
    wrong_code,
)
from wardgate.radius.packet import Code, Packet, Type


def wire_to(demo: Served) -> Wire:
    """A NAS of the demo."""
    return Wire(demo, demo.told["radius"]["secret"])


def begin(wire: Wire, demo: Served, user: str) -> Packet:
    """The password of a demo user."""
    return wire.log_in(user, password_of(demo.told, user))


def with_app(wire: Wire, demo: Served, user: str, challenge: Packet) -> Packet:
    """Answer with the code of this half minute or, if another test has used it, with the next."""
    secret_hex = factor_of(demo.told, user, "totp")["secret_hex"]
    for shift in (0, 1):
        reply = wire.answer(user, totp_code(secret_hex, shift=shift), challenge)
        if reply.code is not Code.ACCESS_CHALLENGE:
            break
        challenge = reply
    return reply


def test_ada_logs_in_with_her_app(demo: Served) -> None:
    with wire_to(demo) as wire:
        challenge = begin(wire, demo, "ada")
        assert message_of(challenge) == "Enter the code from your app."
        accept = with_app(wire, demo, "ada", challenge)
    assert accept.code is Code.ACCESS_ACCEPT
    assert accept.vendor(25461, 5) == [b"vpn-users"]


def test_bob_logs_in_with_the_code_from_his_phone(demo: Served) -> None:
    before = message_count(demo, "bob")
    with wire_to(demo) as wire:
        challenge = begin(wire, demo, "bob")
        assert "02" in message_of(challenge)
        assert "+905321110002" not in message_of(challenge)
        assert wire.answer("bob", newest_code(demo, "bob", "sms", before + 1), challenge).code is Code.ACCESS_ACCEPT


def test_carol_logs_in_with_the_code_from_her_mail(demo: Served) -> None:
    before = message_count(demo, "carol")
    with wire_to(demo) as wire:
        challenge = begin(wire, demo, "carol")
        code = newest_code(demo, "carol", "email", before + 1)
        assert wire.answer("carol", code, challenge).code is Code.ACCESS_ACCEPT
    newest = read_outbox(demo)[0]
    assert set(newest) == {"id", "created_at", "channel", "to", "user", "transaction", "text", "code"}
    assert newest["to"] == "carol@example.test"
    assert code in newest["text"]


def test_dave_chooses_each_of_his_factors_by_its_word(demo: Served) -> None:
    with wire_to(demo) as wire:
        challenge = begin(wire, demo, "dave")
        for word in ("sms", "mail", "recovery"):
            assert word in message_of(challenge)
        for word, channel in (("sms", "sms"), ("mail", "email")):
            before = message_count(demo, "dave")
            asked = wire.answer("dave", word, challenge)
            assert newest_code(demo, "dave", channel, 1)
            assert message_count(demo, "dave") == before + 1
            challenge = asked
        challenge = wire.answer("dave", "recovery", challenge)
        code = factor_of(told_now(demo), "dave", "recovery_code")["codes"][0]
        assert wire.answer("dave", code, challenge).code is Code.ACCESS_ACCEPT
        # Back to the app, and the recovery code is worth nothing any more.
        challenge = wire.answer("dave", "recovery", begin(wire, demo, "dave"))
        challenge = wire.answer("dave", code, challenge)
        assert challenge.code is Code.ACCESS_CHALLENGE
        challenge = wire.answer("dave", "app", challenge)
        assert with_app(wire, demo, "dave", challenge).code is Code.ACCESS_ACCEPT


def test_erin_logs_in_with_her_device_and_may_have_pressed_it_in_vain(demo: Served) -> None:
    factor = factor_of(told_now(demo), "erin", "hotp")
    with wire_to(demo) as wire:
        for counter in (factor["counter"], factor["counter"] + 4):
            accept = wire.answer("erin", hotp_code(factor["secret_hex"], counter), begin(wire, demo, "erin"))
            assert accept.code is Code.ACCESS_ACCEPT
        skipped = wire.answer("erin", hotp_code(factor["secret_hex"], factor["counter"] + 2), begin(wire, demo, "erin"))
        assert skipped.code is Code.ACCESS_CHALLENGE


def test_frank_is_refused_and_told_what_to_do(demo: Served) -> None:
    with wire_to(demo) as wire:
        reject = begin(wire, demo, "frank")
    assert reject.code is Code.ACCESS_REJECT
    assert "second factor" in message_of(reject)
    assert reason_of(demo, reject) == "no_factor"


def test_the_disabled_user_is_refused_like_a_stranger(demo: Served) -> None:
    with wire_to(demo) as wire:
        reject, stranger = begin(wire, demo, "disabled"), wire.log_in("nobody-at-all", "whatever")
    assert reject.code is Code.ACCESS_REJECT
    assert message_of(reject)[:-8] == message_of(stranger)[:-8]
    assert reason_of(demo, reject) == "account_disabled"
    assert reason_of(demo, stranger) == "user_unknown"


def test_after_three_wrong_codes_the_login_is_closed(demo: Served) -> None:
    before = message_count(demo, "bob")
    with wire_to(demo) as wire:
        challenge = begin(wire, demo, "bob")
        wrong = wrong_code(newest_code(demo, "bob", "sms", before + 1))
        states = {challenge.first(Type.STATE)}
        for left in ("2 tries", "1 try"):
            challenge = wire.answer("bob", wrong, challenge)
            assert f"; {left} left" in message_of(challenge)
            states.add(challenge.first(Type.STATE))
        assert len(states) == 3
        closed = wire.answer("bob", wrong, challenge)
        assert closed.code is Code.ACCESS_REJECT
        assert reason_of(demo, closed) == "code_closed"
        # The right code of a closed login opens nothing.
        late = wire.answer("bob", newest_code(demo, "bob", "sms", before + 1), challenge)
        assert late.code is Code.ACCESS_REJECT
