"""Whatever is asked, every back-end answers as the one in memory does."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.storage.backends import BACKENDS, PARAMETERS
from tests.conformance.storage.rows import TextChain, event, message, row, user
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Commit, Delete, Insert, Modified, Modify, Operation, Row, Storage, Update, Upsert, Where

TABLES = ("local_user", "outbox", "audit_event")

_ids = st.sampled_from(["a", "b", "c"])
_numbers = st.sampled_from([-1, 0, 1, 2, 2**63 - 1])
_maybe_numbers = st.none() | _numbers
_condition = st.one_of(
    st.builds(Where, st.sampled_from(["tries", "sent_at"]), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _numbers),
    st.builds(Where, st.just("sent_at"), st.sampled_from(["is_null", "not_null"])),
    st.builds(Where, st.just("tries"), st.just("in"), st.sampled_from([(), (0,), (1, 2), (-1, 0, 2**63 - 1)])),
    st.builds(Where, st.just("id"), st.sampled_from(["=", "!=", "<", ">"]), _ids),
)
_some_conditions = st.tuples(_condition) | st.tuples(_condition, _condition)
_conditions = st.just(()) | _some_conditions


def _halve(current: Row | None, arguments: Row) -> Modified:
    """A successor for some rows, none for others."""
    if current is None:
        return Modified(row("outbox", tries=arguments["start"]), "new")
    tries = current["tries"]
    return Modified(None, tries) if tries == 0 else Modified({**current, "tries": int(tries or 0) // 2}, tries)


def _rename(current: Row | None, arguments: Row) -> Modified:
    """A user of that name, who may be new; a name of None leaves everything as it is."""
    name = arguments["name"]
    return Modified(None if name is None else {**(current or user("", "")), "name_key": name}, name)


def _message(identifier: str, tries: int, sent_at: int | None) -> dict[str, str | int | bytes | None]:
    return message(identifier, tries=tries, sent_at=sent_at)


_operations = st.one_of(
    st.builds(Insert, st.just("outbox"), st.builds(_message, _ids, _numbers, _maybe_numbers)),
    st.builds(Upsert, st.just("outbox"), st.builds(_message, _ids, _numbers, _maybe_numbers)),
    st.builds(
        Update,
        st.just("outbox"),
        st.fixed_dictionaries({"id": _ids}),
        st.fixed_dictionaries(
            {}, optional={"user_name": st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3)}
        ),
        _conditions,
        st.fixed_dictionaries({}, optional={"tries": _numbers, "sent_at": _numbers}),
    ),
    st.builds(Delete, st.just("outbox"), _some_conditions),
    st.builds(
        Modify, st.just("outbox"), st.fixed_dictionaries({"id": _ids}), st.just(_halve), st.fixed_dictionaries({"start": _numbers})
    ),
    st.builds(Insert, st.just("local_user"), st.builds(user, _ids, _ids)),
    st.builds(Upsert, st.just("local_user"), st.builds(user, _ids, _ids)),
    st.builds(Update, st.just("local_user"), st.fixed_dictionaries({"id": _ids}), st.fixed_dictionaries({"name_key": _ids})),
    st.builds(
        Modify,
        st.just("local_user"),
        st.fixed_dictionaries({"id": _ids}),
        st.just(_rename),
        st.fixed_dictionaries({"name": st.none() | _ids}),
    ),
    st.builds(Delete, st.just("local_user"), st.tuples(st.builds(Where, st.sampled_from(["id", "name_key"]), st.just("="), _ids))),
    st.builds(event, st.sampled_from(["x", "y"])),
)
_turns = st.lists(st.lists(st.lists(_operations, max_size=4), min_size=1, max_size=4), min_size=1, max_size=4)
_questions = st.lists(
    st.tuples(_conditions, st.sampled_from(["id", "tries", "sent_at"]), st.booleans(), st.none() | st.integers(0, 4)), max_size=3
)


async def _story(
    storage: Storage,
    turns: list[list[list[Operation]]],
    questions: list[tuple[tuple[Where, ...], str, bool, int | None]],
) -> tuple[list[list[Commit]], list[object]]:
    """Run the turns, whose units wait together, then ask; all outcomes and answers, and what is left."""
    for table in TABLES:
        column = "seq" if table == "audit_event" else "id"
        await storage.commit([Delete(table, (Where(column, "not_null"),))])
    storage.use_chain(TextChain())
    outcomes = [await asyncio.gather(*[storage.commit(unit) for unit in units]) for units in turns]
    answers: list[object] = [await storage.find("outbox", where, order, down, limit) for where, order, down, limit in questions]
    answers += [await storage.count("outbox", where) for where, _, _, _ in questions]
    answers += [sorted(await storage.find(table), key=str) for table in TABLES]
    return outcomes, answers


@pytest.mark.parametrize("name", [each for each in PARAMETERS if each.values != ("memory",)])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=_turns, questions=_questions)
def test_every_back_end_tells_the_same_story(
    tmp_path: Path, name: str, turns: list[list[list[Operation]]], questions: list[tuple[tuple[Where, ...], str, bool, int | None]]
) -> None:
    async def both() -> tuple[object, object]:
        storage = await BACKENDS[name](tmp_path)
        try:
            return await _story(storage, turns, questions), await _story(MemoryStorage(), turns, questions)
        finally:
            await storage.close()

    told, expected = asyncio.run(both())
    assert told == expected
