"""State is single use, and belongs to one NAS, one NAS-Identifier and one user."""

import pytest

from tests.functional.harness import Served, Wire, message_of, reason_of, totp_code, wrong_code
from tests.hostile.stronghold import (
    FIRST_SECRET,
    JOINED,
    MAIN,
    MAIN_TWIN,
    OTHER,
    OTHER_SECRET,
    SECOND_SECRET,
    SHARED,
    USERS,
)
from wardgate.radius.packet import Code, Packet, Type


def refused(served: Served, reply: Packet, reason: str) -> None:
    """It is a Reject, and the timeline names the cause."""
    assert reply.code is Code.ACCESS_REJECT
    assert reason_of(served, reply) == reason


@pytest.mark.parametrize("state", [b"x", b"0123456789abcdef", bytes(24), bytes(253)])
def test_a_state_that_is_not_ours_is_rejected_and_never_taken_for_a_new_login(stronghold: Served, state: bytes) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        # The right password: falling through to the password check would bring a challenge.
        refused(stronghold, wire.log_in(ada.name, ada.password, state=state), "state_unknown")


def test_a_state_of_another_user_is_rejected_and_the_right_one_can_still_answer(stronghold: Served) -> None:
    ada, eve = USERS.with_app(), USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        challenge = wire.log_in(ada.name, ada.password)
        refused(stronghold, wire.answer(eve.name, totp_code(eve.totp_hex), challenge), "state_other_user")
        refused(stronghold, wire.answer(eve.name, totp_code(ada.totp_hex), challenge), "state_other_user")
        assert wire.answer(ada.name, totp_code(ada.totp_hex), challenge).code is Code.ACCESS_ACCEPT


def test_a_state_of_another_nas_is_rejected_and_the_right_one_can_still_answer(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire, Wire(stronghold, OTHER_SECRET, source=OTHER) as other:
        challenge = wire.log_in(ada.name, ada.password)
        refused(stronghold, other.answer(ada.name, totp_code(ada.totp_hex), challenge), "state_other_nas")
        assert wire.answer(ada.name, totp_code(ada.totp_hex), challenge).code is Code.ACCESS_ACCEPT


def test_an_ha_pair_under_one_name_shares_its_states(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire, Wire(stronghold, source=MAIN_TWIN) as twin:
        challenge = wire.log_in(ada.name, ada.password)
        assert twin.answer(ada.name, totp_code(ada.totp_hex), challenge).code is Code.ACCESS_ACCEPT


def test_the_second_request_must_come_from_the_same_nas_identifier(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        challenge = wire.log_in(ada.name, ada.password, nas_identifier="portal")
        refused(
            stronghold,
            wire.answer(ada.name, totp_code(ada.totp_hex), challenge, nas_identifier="administrators"),
            "state_other_nas",
        )


def test_two_nas_behind_one_address_both_work_and_neither_uses_the_others_state(stronghold: Served) -> None:
    ada, bob = USERS.with_app(), USERS.with_app()
    with Wire(stronghold, FIRST_SECRET, source=SHARED) as first, Wire(stronghold, SECOND_SECRET, source=SHARED) as second:
        one = first.log_in(ada.name, ada.password, nas_identifier="first")
        two = second.log_in(bob.name, bob.password, nas_identifier="second")
        refused(stronghold, second.answer(ada.name, totp_code(ada.totp_hex), one, nas_identifier="second"), "state_other_nas")
        # With the other's name but its own secret it is nobody at all.
        assert second.silent(second.request(ada.name, "x", one.first(Type.STATE), nas_identifier="first"), 0.4)
        assert first.answer(ada.name, totp_code(ada.totp_hex), one, nas_identifier="first").code is Code.ACCESS_ACCEPT
        assert second.answer(bob.name, totp_code(bob.totp_hex), two, nas_identifier="second").code is Code.ACCESS_ACCEPT
        assert first.silent(first.request(ada.name, ada.password, nas_identifier="third"), 0.4)


def test_a_state_works_once(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire, Wire(stronghold, source=MAIN) as elsewhere:
        challenge = wire.log_in(ada.name, ada.password)
        again = wire.answer(ada.name, wrong_code(totp_code(ada.totp_hex)), challenge)
        assert again.first(Type.STATE) != challenge.first(Type.STATE)
        refused(stronghold, wire.answer(ada.name, totp_code(ada.totp_hex), challenge), "state_used")
        right = wire.request(ada.name, totp_code(ada.totp_hex), again.first(Type.STATE))
        accept = wire.ask(right)
        assert accept.code is Code.ACCESS_ACCEPT
        # The identical packet gets the identical reply; from another port it is another packet.
        assert wire.ask(right).raw == accept.raw
        refused(stronghold, elsewhere.ask(right), "state_used")
        refused(stronghold, wire.answer(ada.name, totp_code(ada.totp_hex), again), "state_used")


def test_two_states_in_one_request_are_none(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        challenge = wire.log_in(ada.name, ada.password)
        state = challenge.first(Type.STATE)
        assert state is not None
        doubled = wire.request(ada.name, totp_code(ada.totp_hex), state, attributes=[(Type.STATE, state)])
        assert wire.ask(doubled).code is Code.ACCESS_REJECT


def test_rejected_states_count_nowhere(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        for _ in range(12):
            assert wire.log_in(ada.name, "guess", state=b"not one of yours").code is Code.ACCESS_REJECT
        assert wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE


def test_the_name_may_be_written_otherwise_but_must_be_the_same(stronghold: Served) -> None:
    ada = USERS.with_app()
    with Wire(stronghold, source=MAIN) as wire:
        challenge = wire.log_in(ada.name, ada.password)
        assert wire.answer(ada.name.upper(), totp_code(ada.totp_hex), challenge).code is Code.ACCESS_ACCEPT


def test_a_spent_code_that_comes_back_as_a_password_is_named_and_counts_nowhere(stronghold: Served) -> None:
    ada = USERS.with_app()
    code = totp_code(ada.totp_hex)
    with Wire(stronghold, source=MAIN) as wire:
        assert wire.answer(ada.name, code, wire.log_in(ada.name, ada.password)).code is Code.ACCESS_ACCEPT
        for _ in range(8):
            replay = wire.log_in(ada.name, code)
        refused(stronghold, replay, "credential_replay")
        assert wire.log_in(ada.name, ada.password).code is Code.ACCESS_CHALLENGE


def test_a_code_is_refused_the_second_time_through_every_door(stronghold: Served) -> None:
    ada = USERS.with_app()
    code = totp_code(ada.totp_hex)
    with Wire(stronghold, source=MAIN) as wire, Wire(stronghold, source=JOINED) as joined:
        assert joined.log_in(ada.name, ada.password + code).code is Code.ACCESS_ACCEPT
        assert joined.log_in(ada.name, ada.password + code).code is Code.ACCESS_REJECT
        again = wire.answer(ada.name, code, wire.log_in(ada.name, ada.password))
        assert again.code is Code.ACCESS_CHALLENGE
        assert "used already" in message_of(again)
