"""Forms and steps: what is compiled once, and what never gets into SQL text."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import bindparam, update

from tests.conformance.storage.rows import brake, brake_key, message
from wardgate.errors import StorageError
from wardgate.storage import statements
from wardgate.storage.port import Delete, Insert, Operation, Update, Upsert, Where
from wardgate.storage.shapes import shape_of
from wardgate.storage.sqlite import connect_reader, connect_writer, prepare
from wardgate.storage.statements import Statements

EVIL = 'x"; DROP TABLE outbox; --'


def _sql(known: Statements, operation: Operation) -> str:
    ((statement, _),) = known.unit([operation])
    return statement.sql


def test_a_form_is_compiled_once_whatever_the_values() -> None:
    known = Statements()
    (first,) = known.unit([Update("brake", brake_key("a"), {"level": 1}, (Where("level", "<", 1),), {"failures": 1})])
    (second,) = known.unit([Update("brake", brake_key("b"), {"level": 2}, (Where("level", "<", 5),), {"failures": -7})])
    assert first[0] is second[0]
    assert known.get("brake") is known.get("brake")
    assert (
        known.find("brake", [Where("level", "=", 1)], None, False, 5)[0]
        is known.find("brake", [Where("level", "=", 2)], None, False, 6)[0]
    )


@pytest.mark.parametrize(
    "other",
    [
        Update("brake", brake_key("a"), {"failures": 1}),
        Update("brake", brake_key("a"), {"level": 1, "failures": 1}),
        Update("brake", brake_key("a"), {}, add={"level": 1}),
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "<", 1),)),
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "<=", 1),)),
        Update("brake", brake_key("a"), {"level": 1}, (Where("failures", "<", 1),)),
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "in", (1,)),)),
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "in", (1, 2)),)),
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "not_null"),)),
    ],
)
def test_another_form_is_another_statement(other: Operation) -> None:
    known = Statements()
    assert _sql(known, Update("brake", brake_key("a"), {"level": 1})) != _sql(known, other)


def test_values_never_get_into_the_text() -> None:
    known = Statements()
    for operation in (
        Insert("outbox", message(EVIL, user_name=EVIL)),
        Upsert("outbox", message(EVIL)),
        Update("outbox", {"id": EVIL}, {"user_name": EVIL}, (Where("state", "in", (EVIL, "a")),)),
        Delete("outbox", (Where("user_name", "=", EVIL),), 5),
    ):
        assert "DROP" not in _sql(known, operation)


def test_injection_by_name_or_operator_is_refused() -> None:
    known = Statements()
    for operation in (
        Insert(EVIL, {}),
        Insert("outbox", {**message("a"), EVIL: 1}),
        Update("outbox", {"id": "a"}, {EVIL: 1}),
        Update("outbox", {EVIL: "a"}, {"tries": 1}),
        Update("outbox", {"id": "a"}, {}, add={EVIL: 1}),
        Delete("outbox", (Where(EVIL, "=", 1),)),
        Delete("outbox", (Where("tries", "= 1 OR 1 =", 1),)),
    ):
        with pytest.raises(StorageError):
            known.unit([operation])
    with pytest.raises(StorageError):
        known.find("outbox", [], EVIL, False, 1)


def test_in_is_padded_so_that_few_forms_serve_every_length() -> None:
    known = Statements()
    forms = set()
    for count in range(1, 501):
        query, values = known.count("outbox", [Where("tries", "in", tuple(range(count)))])
        assert query.sql.count("?") == len(values)
        assert set(values) == set(range(count))
        forms.add(query.sql)
    assert len(forms) == 10


def test_the_number_of_forms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "MAX_FORMS", 4)
    known = Statements()
    for column in brake("a"):
        if column not in ("kind", "key"):
            value = brake("a")[column]
            known.unit([Update("brake", brake_key("a"), {column: value})])
            known.find("brake", [], column, False, 1)
            assert len(known._statements) <= 4
            assert len(known._queries) <= 4


def test_a_statement_whose_values_would_be_mixed_up_is_not_used() -> None:
    table = shape_of("outbox").table
    turned_round = update(table).ordered_values((table.c.tries, bindparam("v1")), (table.c.id, bindparam("v0")))
    with pytest.raises(StorageError, match="stand as"):
        statements._compile(turned_round, ["v0", "v1"])
    assert statements._compile(turned_round, ["v1", "v0"]) == "UPDATE outbox SET tries=?, id=?"


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ([Where("request_mac", "=", b"a")], "request_mac"),
        ([Where("source_mac", "=", b"a"), Where("state", "=", "open")], "source_mac"),
        ([Where("browser_mac", "=", b"a"), Where("request_mac", "not_null"), Where("state", "=", "open")], "browser_mac"),
    ],
)
def test_a_find_of_rows_that_an_index_is_for_uses_it(tmp_path: Path, where: list[Where], index: str) -> None:
    prepare(tmp_path / "w.db")
    query, values = Statements().find("saml_request", where, None, False, 5)
    with closing(connect_reader(tmp_path / "w.db")) as connection:
        [(*_, plan)] = connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", values).fetchall()
    assert f"USING INDEX ix_saml_request_{index} " in plan


def test_a_row_that_is_there_as_it_should_be_is_not_written_again(tmp_path: Path) -> None:
    prepare(tmp_path / "w.db")
    known = Statements()
    with closing(connect_writer(tmp_path / "w.db")) as connection:
        written = []
        # An empty column is filled and emptied again.
        for row in (message("a"), message("a"), message("a", answer="late"), message("a", answer="late"), message("a")):
            ((statement, values),) = known.unit([Upsert("outbox", row)])
            written.append(connection.execute(statement.sql, values).rowcount)
    assert written == [1, 0, 1, 0, 1]
