"""Challenge questions over UDP, on a server of several workers: imported answers, asked one by one, closed and opened again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    Served,
    Wire,
    audit_events,
    cli,
    cli_json,
    csv_of,
    ended,
    make_installation,
    message_of,
    people,
    reason_of,
    serve,
    totp_code,
    wait_for,
)
from wardgate.radius.packet import Code, Packet

ADA, BOB = people("q", 2)
ANSWERS = {
    "What is your staff number?": ("staff_number", "00 12-34"),
    "What was your first pet called?": ("pet", "İskender"),
    "What was the first street that you lived in?": ("street", "Straße 5"),
}
DOCUMENT = f"""\
realms: [{{name: acme, default: true, directories: [staff], reply_floor_ms: 0}}]
directories: [{{name: staff, kind: local}}]
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn, policy: remote}}]
questions:
  - {{name: staff_number, kind: mandatory, form: digits, texts: {{en: What is your staff number?}}}}
  - {{name: pet, texts: {{en: What was your first pet called?}}}}
  - {{name: street, texts: {{en: What was the first street that you lived in?}}}}
kba: {{set: 3, asked: 3, preload: true}}
policies:
  - name: remote
    rules: [{{name: all, then: {{steps: [[password], [kba, totp]]}}}}]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = Path(tmp_path_factory.mktemp("questions")) / "data"
    make_installation(data, DOCUMENT, csv_of([ADA, BOB]))
    with ended(serve(data, (), "--workers", "2")) as server:
        rows = ["username,question,answer", *(f"{ADA.name},{name},{answer}" for name, answer in ANSWERS.values())]
        file = data.parent / "answers.csv"
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        assert cli_json("kba", "import", str(file), data=data)["set"] == len(ANSWERS)
        yield server
        server.stop()


def answered(wire: Wire, reply: Packet, *, right: bool = True) -> Packet:
    """The reply to a whole round."""
    for _ in ANSWERS:
        assert reply.code is Code.ACCESS_CHALLENGE
        # After a wrong round stands how many tries are left, and the words of other ways.
        question = next(each for each in ANSWERS if each in message_of(reply))
        # As people type it: digits without groups, capitals, and letters of another keyboard.
        typed = ANSWERS[question][1].upper().replace("-", "").replace("ß", "ss") if right else "somewhere else"
        reply = wire.answer(ADA.name, typed, reply)
    return reply


def test_answers_that_were_imported_let_in_one_by_one(served: Served) -> None:
    with Wire(served) as wire:
        reply = wire.log_in(ADA.name, ADA.password)
        assert message_of(reply).startswith("1/3: What is your staff number?"), "mandatory ones come first"
        assert answered(wire, reply).code is Code.ACCESS_ACCEPT
    [granted] = [event for event in audit_events(served.data) if event["kind"] == "engine:login:granted"]
    assert granted["payload"]["factors"] == ["password", "kba"]


def test_who_has_not_answered_is_asked_for_his_app(served: Served) -> None:
    with Wire(served) as wire:
        reply = wire.log_in(BOB.name, BOB.password)
        assert "questions" not in message_of(reply)
        assert wire.answer(BOB.name, totp_code(BOB.totp_hex), reply).code is Code.ACCESS_ACCEPT
    assert "has totp" in cli("policy", "explain", "--user", BOB.name, "--application", "vpn", data=served.data).stdout
    assert (
        "the user has kba and totp" in cli("policy", "explain", "--user", ADA.name, "--application", "vpn", data=served.data).stdout
    )


def test_third_wrong_round_closes_and_the_app_opens_again(served: Served) -> None:
    with Wire(served) as wire:
        reply = wire.log_in(ADA.name, ADA.password)
        for _ in range(3):
            reply = answered(wire, reply, right=False)
        assert reason_of(served, reply) == "code_closed"
        assert cli_json("kba", "show", ADA.name, data=served.data)["closed"]
        chosen = wire.answer(ADA.name, "app", wire.log_in(ADA.name, ADA.password))
        assert wire.answer(ADA.name, totp_code(ADA.totp_hex), chosen).code is Code.ACCESS_ACCEPT
        assert not cli_json("kba", "show", ADA.name, data=served.data)["closed"]
        assert answered(wire, wire.log_in(ADA.name, ADA.password)).code is Code.ACCESS_ACCEPT


def test_no_answer_stands_in_the_log(served: Served) -> None:
    assert not [answer for _, answer in ANSWERS.values() if answer in served.log]


def test_policy_that_names_no_questions_ends_the_asking_at_once(served: Served) -> None:
    cli("config", "apply", "-", data=served.data, stdin=DOCUMENT.replace("[kba, totp]", "[totp]"))
    with Wire(served) as wire:

        def asks_for_the_app() -> bool:
            return message_of(wire.log_in(ADA.name, ADA.password)).startswith("Enter the code from your app.")

        wait_for(asks_for_the_app)
