"""An export, with the eyes of somebody who holds the file, and of an auditor who holds nothing but a public key."""

import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wardgate.audit import offline
from wardgate.audit.events import commitment
from wardgate.audit.export import Position, lines, next_page
from wardgate.audit.heads import Patience, read_statement, signed_bytes, signing_key
from wardgate.audit.offline import LineError, Opening, check_links, read_line
from wardgate.audit.trail import Head
from wardgate.clock import to_ms
from wardgate.storage.port import Row

from .exports import Trail, a_ring, a_trail, edited, is_event, is_head, no_pause, plain, told, written

EVENTS = 12


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[Trail]:
    """Two heads (8 and 12 events), and two events that have none yet."""
    async with a_trail("memory", tmp_path) as trail:
        await trail.write(8)
        await trail.sign()
        await trail.write(4)
        await trail.sign()
        await trail.write(2)
        yield trail


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Trail]:
    """Three chains that take turns, and a chain of an epoch that is over."""
    async with a_trail("memory", tmp_path) as trail:
        await trail.write(3, "a.0", epoch=1)
        await trail.sign()
        for _ in range(4):
            for writer in ("a.0", "b.0", "b.1"):
                await trail.write(3, writer, epoch=2)
            await trail.sign()
        yield trail


def heads_of(exported: list[bytes], writer: str) -> list[Row]:
    found: list[Row] = []
    for line in exported:
        record = read_line(line)
        if not isinstance(record, Opening) and record[0] == "head" and record[1]["writer"] == writer:
            found.append(record[1])
    return found


# --- sound -------------------------------------------------------------------------------------------------------------


async def test_a_sound_export_verifies_with_the_public_key_alone(trail: Trail) -> None:
    report = trail.check(await trail.export())
    assert (report.findings, report.events, report.erased, report.signed_heads) == ((), 14, 0, 2)
    [chain] = report.chains
    assert (chain.writer, chain.epoch, chain.first, chain.last, chain.proven, chain.unproven) == ("server", 1, 1, 14, 12, 2)


async def test_heads_stand_behind_their_events_and_chains_take_turns(nodes: Trail) -> None:
    exported = await nodes.export()
    assert [plain(line)["type"] for line in exported[:5]] == ["export", "event", "event", "event", "head"]
    order = [plain(line)["writer"] for line in exported if is_head(line)]
    assert order == ["a.0", *["a.0", "b.0", "b.1"] * 4]
    report = nodes.check(exported)
    assert report.findings == ()
    assert [(chain.writer, chain.epoch, chain.proven, chain.unproven) for chain in report.chains] == [
        ("a.0", 1, 3, 0), ("a.0", 2, 12, 0), ("b.0", 2, 12, 0), ("b.1", 2, 12, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("max_chars", [1, 1500, 5000])
async def test_pages_of_every_size_make_the_same_file(nodes: Trail, max_chars: int) -> None:
    assert await nodes.export(max_chars=max_chars) == await nodes.export()


async def test_more_heads_than_are_read_at_once_keep_their_order(nodes: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await nodes.export()
    monkeypatch.setattr("wardgate.audit.export.HEADS_AT_ONCE", 1)
    assert await nodes.export() == whole


async def test_heads_that_come_after_their_events_verify_too(trail: Trail) -> None:
    """What a collector that follows writes: events at once, their heads up to a minute later, new chains in between."""
    exported: list[bytes] = []
    positions: list[Position] = []

    async def follow() -> None:
        nonlocal positions
        page = await next_page(trail.storage, positions, Patience(no_pause))
        positions = page.positions
        exported.extend(lines(page.records).encode().splitlines(keepends=True))

    for number in range(6):
        await trail.write(3, f"node-{number % 4}.0")
        await follow()
        if number % 2:
            await trail.sign()
        await follow()
    await trail.sign()
    await follow()
    report = trail.check(exported)
    assert (report.findings, report.events) == ((), 14 + 18)
    assert all(chain.unproven == 0 for chain in report.chains)


async def test_a_clock_that_was_set_back_between_heads_makes_no_finding(nodes: Trail) -> None:
    nodes.clock.advance(-7200)
    for writer in ("a.0", "b.0"):
        await nodes.write(2, writer, epoch=2)
    await nodes.sign()
    await nodes.write(2, "b.1", epoch=2)
    await nodes.sign()
    assert nodes.check(await nodes.export()).findings == ()


async def test_erased_payloads_stay_verifiable(trail: Trail) -> None:
    rows = await trail.rows()
    for at in (0, 5):
        rows[at].update(payload=None, salt=None)
    await trail.rewrite("audit_event", rows)
    report = trail.check(await trail.export())
    assert (report.findings, report.erased) == ((), 2)


async def test_without_a_noted_key_the_one_in_the_file_is_taken(trail: Trail) -> None:
    assert trail.check(await trail.export(), key=None).findings == ()


# --- changed -----------------------------------------------------------------------------------------------------------


async def test_a_changed_payload_is_found_at_its_event(trail: Trail) -> None:
    forged = edited(await trail.export(), lambda line: is_event(line, 5), lambda value: value.update(payload='{"actor":"x"}'))
    assert told(trail.check(forged)) == [("server", 5, "the payload was changed")]


async def test_a_forged_payload_does_not_pass_as_an_erased_one(trail: Trail) -> None:
    forged = edited(
        await trail.export(), lambda line: is_event(line, 5), lambda value: value.update(payload='{"actor":"x"}', salt=None)
    )
    assert told(trail.check(forged)) == [("server", 5, "the payload was changed")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "engine:login:denied"), ("created_at", 1), ("transaction_id", None), ("transaction_id", "other"),
        ("reference", ""), ("subject_id", "mallory"), ("link", "00" * 32), ("commitment", "11" * 32),
    ],
)  # fmt: skip
async def test_a_changed_event_is_found_by_the_next_head(trail: Trail, column: str, value: object) -> None:
    forged = edited(await trail.export(), lambda line: is_event(line, 6), lambda each: each.update({column: value}))
    report = trail.check(forged)
    problems = [(seq, problem) for _, seq, problem in told(report) if problem != "the payload was changed"]
    assert problems == [(8, "something in events 1 to 8 is not as it was when its own signed head was made")]
    # What comes after is proved anew from that head on.
    assert (report.chains[0].proven, report.chains[0].unproven) == (12, 10)


async def test_a_payload_with_a_commitment_made_to_fit_is_found(trail: Trail) -> None:
    def forge(value: dict[str, Any]) -> None:
        value["payload"] = '{"actor":"engine","user":"mallory"}'
        value["commitment"] = commitment(bytes.fromhex(value["salt"]), value["payload"]).hex()

    forged = edited(await trail.export(), lambda line: is_event(line, 10), forge)
    assert told(trail.check(forged)) == [
        ("server", 12, "something in events 9 to 12 is not as it was when its own signed head was made")
    ]


async def test_an_event_after_the_last_head_is_told_as_unproven_and_found_with_the_keys(trail: Trail) -> None:
    forged = edited(await trail.export(), lambda line: is_event(line, 13), lambda value: value.update(subject_id="mallory"))
    report = trail.check(forged)
    assert (report.findings, report.chains[0].unproven) == ((), 2)
    findings, _ = check_links(trail.ring, b"".join(forged), {})
    assert [(finding.seq, finding.problem) for finding in findings] == [(13, "the event or one before it was changed")]


# --- removed, doubled, reordered -----------------------------------------------------------------------------------------


async def test_a_removed_event_is_found(trail: Trail) -> None:
    forged = [line for line in await trail.export() if not is_event(line, 5)]
    report = trail.check(forged)
    assert told(report) == [("server", 6, "event 5 is missing")]
    assert (report.chains[0].proven, report.chains[0].unproven) == (12, 9)


async def test_removed_first_events_are_found(trail: Trail) -> None:
    forged = [line for line in await trail.export() if not any(is_event(line, seq) for seq in (1, 2, 3))]
    assert told(trail.check(forged)) == [("server", 4, "events 1 to 3 are missing")]


async def test_a_removed_event_with_the_numbers_closed_up_is_found(trail: Trail) -> None:
    forged = [line for line in await trail.export() if not is_event(line, 5)]
    forged = edited(
        forged, lambda line: plain(line)["type"] == "event" and plain(line)["seq"] > 5, lambda v: v.update(seq=v["seq"] - 1)
    )
    assert [seq for _, seq, _ in told(trail.check(forged))] == [8, 12]


async def test_an_inserted_event_is_found(trail: Trail) -> None:
    exported = await trail.export()
    at = next(index for index, line in enumerate(exported) if is_event(line, 5))
    later = edited(exported[at:], lambda line: plain(line)["type"] == "event", lambda value: value.update(seq=value["seq"] + 1))
    assert told(trail.check([*exported[:at], exported[at], *later]))[0][1] == 8


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 5), (3, 11)])
async def test_swapped_events_are_found(trail: Trail, one: int, other: int) -> None:
    swapped = {one: other, other: one}
    forged = edited(
        await trail.export(),
        lambda line: any(is_event(line, seq) for seq in swapped),
        lambda value: value.update(seq=swapped[value["seq"]]),
    )
    forged.sort(key=lambda line: (plain(line)["type"] != "export", plain(line).get("seq", 0), plain(line)["type"] == "head"))
    assert 8 in {seq for _, seq, _ in told(trail.check(forged))}


async def test_lines_in_another_order_are_found(trail: Trail) -> None:
    exported = await trail.export()
    exported[3], exported[4] = exported[4], exported[3]
    assert told(trail.check(exported)) == [
        ("server", 4, "event 3 is missing"),
        ("server", 3, "the event stands twice, or is out of order"),
    ]


async def test_a_doubled_event_is_found(trail: Trail) -> None:
    exported = await trail.export()
    assert told(trail.check([*exported[:5], exported[4], *exported[5:]])) == [
        ("server", 4, "the event stands twice, or is out of order")
    ]


async def test_a_whole_file_twice_is_found(trail: Trail) -> None:
    exported = await trail.export()
    assert trail.check([*exported, *exported]).findings_count == 14


async def test_one_change_does_not_hide_another(trail: Trail) -> None:
    forged = edited(
        await trail.export(),
        lambda line: is_event(line, 2) or is_event(line, 11),
        lambda value: value.update(subject_id="mallory"),
    )
    assert [seq for _, seq, _ in told(trail.check(forged))] == [8, 12]


# --- cut off, dropped, rewound -------------------------------------------------------------------------------------------


async def test_removed_newest_events_are_found_by_a_head_that_was_kept(trail: Trail) -> None:
    kept = heads_of(await trail.export(), "server")
    rows = await trail.rows()
    await trail.rewrite("audit_event", rows[:9])
    await trail.rewrite("audit_head", [])
    await trail.sign()
    cut = await trail.export()
    assert trail.check(cut).findings == ()
    assert told(trail.check(cut, noted=kept)) == [
        ("server", 12, "events 10 to 12 were cut off: the head that was kept elsewhere names event 12")
    ]


async def test_removed_newest_events_are_found_by_their_head_that_was_left(trail: Trail) -> None:
    await trail.rewrite("audit_event", (await trail.rows())[:9])
    assert told(trail.check(await trail.export())) == [
        ("server", 12, "events 10 to 12 were cut off: its own signed head names event 12")
    ]


async def test_removed_newest_events_are_found_by_a_head_that_was_written_down(trail: Trail) -> None:
    rows = await trail.rows()
    noted = Head("server", 1, 13, rows[12]["link"].hex())
    exported = await trail.export()
    assert trail.check(exported, expected=[noted]).findings == ()
    assert (
        "cut off"
        in told(trail.check([line for line in exported if not is_event(line, 13) and not is_event(line, 14)], expected=[noted]))[0][
            2
        ]
    )
    assert told(trail.check(exported, expected=[Head("server", 1, 12, rows[12]["link"].hex())]))[0][1] == 12
    assert told(trail.check(exported, expected=[Head("server", 1, 12, "no link")]))[0][1] == 12


async def test_an_end_that_was_written_anew_with_the_keys_differs_from_the_kept_head(trail: Trail) -> None:
    """Whoever has all keys can write a new history; only what was kept elsewhere can tell."""
    kept = heads_of(await trail.export(), "server")
    await trail.rewrite("audit_event", (await trail.rows())[:9])
    await trail.rewrite("audit_head", [])
    await trail.write(5)
    await trail.sign()
    again = await trail.export()
    assert trail.check(again).findings == ()
    assert told(trail.check(again, noted=kept)) == [
        ("server", 12, "something in events 9 to 12 is not as it was when the head that was kept elsewhere was made")
    ]


async def test_a_dropped_chain_is_missed_by_the_heads_of_others(nodes: Trail) -> None:
    forged = [line for line in await nodes.export() if plain(line).get("writer") != "b.0"]
    [(writer, _, problem)] = told(nodes.check(forged))
    assert (writer, "the whole chain is gone" in problem) == ("b.0", True)


async def test_a_chain_of_an_older_epoch_that_was_dropped_is_missed(nodes: Trail) -> None:
    forged = [line for line in await nodes.export() if plain(line).get("epoch") != 1]
    assert ["the whole chain is gone" in problem for _, _, problem in told(nodes.check(forged))] == [True]


async def test_a_chain_that_was_cut_with_its_heads_is_missed_by_the_heads_of_others(nodes: Trail) -> None:
    forged = [line for line in await nodes.export() if not (plain(line).get("writer") == "b.0" and plain(line)["seq"] > 5)]
    [(writer, seq, problem)] = told(nodes.check(forged))
    assert (writer, seq) == ("b.0", 12)
    assert problem.startswith("events 6 to 12 were cut off: the signed head ")


async def test_a_rewound_chain_contradicts_the_heads_of_others(nodes: Trail) -> None:
    """Events and heads of one chain are removed, and the server goes on as if they had never been."""
    events, heads = await nodes.rows(), await nodes.rows("audit_head")
    gone = ("b.0", 2)
    await nodes.rewrite("audit_event", [row for row in events if (row["writer"], row["epoch"]) != gone or row["seq"] <= 6])
    await nodes.rewrite("audit_head", [row for row in heads if (row["writer"], row["epoch"]) != gone or row["seq"] <= 6])
    await nodes.write(9, "b.0", epoch=2)
    await nodes.sign()
    findings = told(nodes.check(await nodes.export()))
    assert {(writer, seq) for writer, seq, _ in findings} == {("b.0", 9), ("b.0", 12)}
    assert all("is not as it was when the signed head" in problem for _, _, problem in findings)


async def test_a_collector_goes_on_over_a_restore_without_a_false_alarm(trail: Trail) -> None:
    """The new epoch's heads name the old chain where the backup ended, which was no head when it was exported first."""
    before = await trail.export()
    await trail.rewrite("audit_event", (await trail.rows())[:10])
    await trail.rewrite("audit_head", [row for row in await trail.rows("audit_head") if row["seq"] <= 10])
    await trail.write(3, epoch=2)
    await trail.sign()
    after = await trail.export(positions=[Position("server", 1, 14, 12)])
    assert [at.seq for at in read_statement(plain(after[-1])["others"]).heads] == [10]
    report = trail.check([*before, *after])
    assert (report.findings, [chain.last for chain in report.chains]) == ((), [14, 3])


async def test_a_copy_that_was_put_back_unseen_is_found_by_who_collects(trail: Trail) -> None:
    """No restore, but the files of yesterday: the server goes on in the same epoch, and with its old keys."""
    before = await trail.export()
    await trail.rewrite("audit_event", (await trail.rows())[:10])
    await trail.rewrite("audit_head", [row for row in await trail.rows("audit_head") if row["seq"] <= 10])
    await trail.write(9)
    await trail.sign()
    after = await trail.export(positions=[Position("server", 1, 14, 12)])
    assert told(trail.check([*before, *after])) == [
        ("server", 19, "something in events 13 to 19 is not as it was when its own signed head was made")
    ]


# --- heads -------------------------------------------------------------------------------------------------------------


async def test_a_forged_head_without_the_key_is_found(trail: Trail) -> None:
    forged = edited(await trail.export(), is_head, lambda value: value.update(others=value["others"].replace("[]", "[ ]", 1)))
    report = trail.check(forged)
    assert {problem for _, seq, problem in told(report) if seq} == {"the head is not signed by this installation's key"}
    assert report.chains[0].proven == 0


async def test_a_file_signed_anew_with_another_key_is_found_with_the_noted_key_only(trail: Trail) -> None:
    """Whoever holds the file alone can change it and sign it himself. The key in the file then proves nothing."""
    other = signing_key(a_ring())

    def sign(value: dict[str, Any]) -> None:
        row = {**value, "link": bytes.fromhex(value["link"])}
        value["signature"] = other.sign(signed_bytes(row)).hex()

    forged = edited(await trail.export(), is_head, sign)
    forged[0] = written({**plain(forged[0]), "public_key": other.public_key().public_bytes_raw().hex()})
    assert trail.check(forged, key=None).findings == ()
    problems = [problem for _, _, problem in told(trail.check(forged))]
    assert problems[0] == "line 1: the file names another public key"
    assert problems.count("the head is not signed by this installation's key") == 2


async def test_a_kept_head_of_another_key_is_found(trail: Trail) -> None:
    kept = [{**row, "signature": bytes(64)} for row in heads_of(await trail.export(), "server")]
    problems = [problem for _, _, problem in told(trail.check(await trail.export(), noted=kept))]
    assert problems == ["the head that was kept elsewhere is not signed by this installation's key"] * 2


async def test_a_file_without_heads_proves_nothing_and_says_so(trail: Trail) -> None:
    [(_, _, problem)] = told(trail.check([line for line in await trail.export() if not is_head(line)]))
    assert problem.startswith("no signed head stands in it")


async def test_a_file_without_its_last_heads_tells_how_much_is_unproven(trail: Trail) -> None:
    exported = await trail.export()
    last = max(index for index, line in enumerate(exported) if is_head(line))
    report = trail.check([line for index, line in enumerate(exported) if index != last])
    assert (report.findings, report.chains[0].proven, report.chains[0].unproven) == ((), 8, 6)


async def test_a_head_of_another_chain_in_the_place_of_ours_is_found(nodes: Trail) -> None:
    forged = edited(
        await nodes.export(), lambda line: is_head(line) and plain(line)["writer"] == "b.0", lambda v: v.update(writer="b.1")
    )
    assert "the head is not signed by this installation's key" in {problem for _, _, problem in told(nodes.check(forged))}


async def test_a_head_far_behind_its_event_is_not_taken_on_trust(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "MAX_RECENT", 4)
    exported = await trail.export()
    late = [*[line for line in exported if not is_head(line)], *[line for line in exported if is_head(line)]]
    assert [(seq, "too far behind" in problem) for _, seq, problem in told(trail.check(late))] == [(8, True), (12, True)]


async def test_heads_that_point_nowhere_fill_no_memory(nodes: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "MAX_PENDING", 3)
    report = nodes.check([line for line in await nodes.export() if is_head(line)])
    assert "than can be kept in mind" in told(report)[0][2]


@pytest.mark.parametrize("seed", range(5))
async def test_what_a_verifier_keeps_is_counted_and_bounded(nodes: Trail, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file: its memory is what the limits say."""
    for name, limit in {"MAX_RECENT": 4, "MAX_RECENT_IN_ALL": 6, "MAX_KEPT": 2, "MAX_HELD": 3, "MAX_VERIFIED": 2}.items():
        monkeypatch.setattr(offline, name, limit)
    chance = random.Random(seed)
    exported = await nodes.export()
    verifier = offline.Verifier(signing_key(nodes.ring).public_key(), partial=bool(seed % 2))
    for _ in range(20):
        for line in exported:
            if chance.random() < 0.9:
                verifier.line(line)
            if chance.random() < 0.1:
                verifier.line(chance.choice(exported))
            chains = verifier._chains.values()
            assert sum(len(chain.recent) for chain in chains) == 32 * verifier._recent <= 32 * (6 + 4)
            assert sum(len(claims) for chain in chains for claims in chain.pending.values()) == verifier._pending
            assert all(len(chain.held) <= 3 and len(chain.verified) <= 2 for chain in chains)


# --- parts of a trail ----------------------------------------------------------------------------------------------------


async def test_an_export_since_a_number_begins_behind_the_head_before_it(trail: Trail) -> None:
    exported = await trail.export(since_seq=11)
    assert [plain(line)["type"] for line in exported[:3]] == ["export", "head", "event"]
    assert plain(exported[2])["seq"] == 9
    report = trail.check(exported, partial=True)
    assert (report.findings, report.chains[0].first, report.chains[0].proven, report.chains[0].unproven) == ((), 9, 12, 2)


async def test_an_export_since_a_time_begins_behind_the_head_before_it(nodes: Trail) -> None:
    exported = await nodes.export(since_ms=to_ms(nodes.clock.now()) - 100_000)
    report = nodes.check(exported, partial=True)
    assert report.findings == ()
    assert {(chain.writer, chain.epoch): chain.first for chain in report.chains} == {
        ("a.0", 1): 4, ("a.0", 2): 7, ("b.0", 2): 7, ("b.1", 2): 7,
    }  # fmt: skip


async def test_a_beginning_that_was_cut_off_is_a_finding_unless_a_part_is_meant(trail: Trail) -> None:
    exported = await trail.export(since_seq=11)
    assert ("server", 9, "events 1 to 8 are missing") in told(trail.check(exported))


async def test_a_changed_event_in_a_part_is_found(trail: Trail) -> None:
    forged = edited(await trail.export(since_seq=11), lambda line: is_event(line, 10), lambda v: v.update(subject_id="mallory"))
    assert told(trail.check(forged, partial=True)) == [
        ("server", 12, "something in events 9 to 12 is not as it was when its own signed head was made")
    ]


async def test_a_part_that_begins_between_heads_is_proved_from_the_next_head_on(trail: Trail) -> None:
    """A file that a collector began after its cursor: no head stands in front of it."""
    await trail.write(3)
    await trail.sign()
    exported = [line for line in await trail.export() if plain(line).get("seq", 99) > 10]
    report = trail.check(exported, partial=True)
    assert (report.findings, report.chains[0].first, report.chains[0].proven, report.chains[0].unproven) == ((), 11, 17, 2)
    forged = edited(exported, lambda line: is_event(line, 14), lambda value: value.update(subject_id="mallory"))
    assert [seq for _, seq, _ in told(trail.check(forged, partial=True))] == [17]


# --- malformed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n", b"garbage\n", b"{}\n", b"[]\n", b"null\n", b'{"type":"event"}\n', b'{"type":["event"]}\n', b'{"type":7}\n',
        b"\xff\xfe\n",
        b'{"type":"export","format":2,"installation":"an-installation","public_key":""}\n',
        b'{"type":"export","format":1,"installation":"an-installation","public_key":"00"}\n',
        b"[" * 100_000 + b"\n", b'{"type":"head","writer":"' + b"x" * 300_000,
    ],
)  # fmt: skip
async def test_a_line_of_garbage_is_found_and_the_rest_is_verified(trail: Trail, garbage: bytes) -> None:
    exported = await trail.export()
    report = trail.check([*exported[:6], garbage, *exported[6:]])
    [(_, _, problem)] = told(report)
    assert problem.startswith("line 7: ")
    assert report.chains[0].proven == 12


async def test_a_line_that_is_nested_without_end_does_not_end_the_verifier(trail: Trail) -> None:
    exported = await trail.export()
    deep = b'"payload":' + b"[" * 400 + b"]" * 400
    forged = re.sub(rb'"payload":"(?:[^"\\]|\\.)*"', lambda _: deep, exported[5])
    assert deep in forged
    [(_, _, problem)] = told(trail.check([*exported[:6], forged, *exported[6:]]))
    assert problem.startswith("line 7: ")


@pytest.mark.parametrize(
    "column", ["writer", "epoch", "seq", "kind", "created_at", "reference", "payload", "salt", "commitment", "link"]
)
@pytest.mark.parametrize("value", [[], {}, True, 1.5, "\0", "zz", -1, 2**80, "00" * 31])
async def test_a_value_of_another_kind_is_found(trail: Trail, column: str, value: object) -> None:
    forged = edited(await trail.export(), lambda line: is_event(line, 5), lambda each: each.update({column: value}))
    assert trail.check(forged).findings_count


@pytest.mark.parametrize("column", ["writer", "epoch", "seq", "link", "others", "signature", "created_at"])
@pytest.mark.parametrize("value", [[], None, True, 1.5, "\0", "zz", 2**80])
async def test_a_head_with_a_value_of_another_kind_is_found(trail: Trail, column: str, value: object) -> None:
    forged = edited(await trail.export(), is_head, lambda each: each.update({column: value}))
    assert trail.check(forged).findings_count


async def test_a_key_that_stands_twice_is_found(trail: Trail) -> None:
    """Programs differ in which of the two they read: a reader would be shown what nothing proves."""
    exported = await trail.export()
    at = next(index for index, line in enumerate(exported) if is_event(line, 5))
    exported[at] = exported[at].replace(b'"kind":', b'"kind":"engine:login:denied","kind":', 1)
    with pytest.raises(LineError):
        read_line(exported[at])
    assert trail.check(exported).findings_count


async def test_a_key_that_we_do_not_know_is_found(trail: Trail) -> None:
    forged = edited(await trail.export(), lambda line: is_event(line, 5), lambda value: value.update(note="approved"))
    assert "not in the form of an export" in told(trail.check(forged))[0][2]


async def test_a_last_line_that_was_cut_in_the_middle_is_found(trail: Trail) -> None:
    exported = await trail.export()
    exported[-1] = exported[-1][:-20]
    assert "cut off in the middle" in told(trail.check(exported))[0][2]


async def test_lines_of_another_installation_are_found(trail: Trail) -> None:
    exported = await trail.export()
    other = written({**plain(exported[0]), "installation": "another"})
    assert "another installation" in told(trail.check([*exported, other]))[0][2]


async def test_more_chains_than_an_export_holds_are_refused(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "MAX_CHAINS", 2)
    [line] = [line for line in await trail.export() if is_event(line, 1)]
    report = trail.check([written({**plain(line), "writer": f"node-{number}"}) for number in range(50)])
    assert len(report.chains) == 2
    assert "more chains" in told(report)[2][2] or "more chains" in told(report)[0][2]


async def test_findings_without_end_are_counted_and_not_kept(trail: Trail) -> None:
    report = trail.check([b"garbage\n"] * 5000)
    assert report.findings_count == 5000
    assert len(report.findings) == 100


@pytest.mark.parametrize("seed", range(10))
async def test_no_edit_of_a_covered_line_stays_unseen(nodes: Trail, seed: int) -> None:
    """Any single octet, any single line."""
    chance = random.Random(seed)
    exported = await nodes.export()
    for _ in range(30):
        at = chance.randrange(1, len(exported))
        lines = list(exported)
        match chance.randrange(4):
            case 0:
                line = bytearray(lines[at])
                line[chance.randrange(len(line))] ^= 1 << chance.randrange(7)
                lines[at] = bytes(line)
            case 1 if not is_head(lines[at]):
                del lines[at]
            case 2 if not is_head(lines[at]):
                lines.insert(chance.randrange(1, len(lines)), lines[at])
            case _:
                other = chance.randrange(1, len(lines))
                one, two = plain(lines[at]), plain(lines[other])
                if {one["type"], two["type"]} != {"event"} or (one["writer"], one["epoch"]) != (two["writer"], two["epoch"]):
                    continue
                lines[at], lines[other] = lines[other], lines[at]
        if lines != exported:
            assert nodes.check(lines).findings_count, (at, lines[at])


# --- with the keys -------------------------------------------------------------------------------------------------------


async def test_links_hold_over_pieces_and_parts(nodes: Trail) -> None:
    for exported in (await nodes.export(), await nodes.export(since_seq=8)):
        last: dict[tuple[str, int], tuple[int, bytes]] = {}
        for start in range(0, len(exported), 5):
            findings, last = check_links(nodes.ring, b"".join(exported[start : start + 5]), last)
            assert findings == []
        assert last["b.0", 2][0] == 12


async def test_links_of_another_installation_do_not_hold(trail: Trail) -> None:
    findings, _ = check_links(a_ring(), b"".join(await trail.export()), {})
    assert len(findings) == 14


async def test_a_head_in_front_does_not_spare_the_first_event_its_check(trail: Trail) -> None:
    exported = await trail.export()
    [first, *_] = [line for line in exported if is_head(line)]
    forged = edited([first, *exported], lambda line: is_event(line, 1), lambda value: value.update(subject_id="mallory"))
    findings, _ = check_links(trail.ring, b"".join(forged), {})
    assert [finding.seq for finding in findings] == [1]


def test_the_form_of_a_line_does_not_depend_on_the_writer_of_json() -> None:
    line = json.dumps({"type": "event", "writer": "x"}).encode() + b"\n"
    with pytest.raises(LineError):
        read_line(line)
