"""SQL as text: what an operator wrote is read safely, and names are quoted whatever stands in them."""

import pytest

from wardgate.directory.sql.address import Engine
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.directory.sql.statements import OWN, StatementFault, TableStatements, own_statement, quoted, quoted_table

COLUMNS = ColumnSettings(id="id", username="login", password="pw", mail="email")


def rendered(text: str, setting: str = "get_statement") -> str:
    return own_statement(text, setting).render(lambda at: f"<{at}>")


def table(engine: Engine, **given: object) -> TableStatements:
    settings = SqlSettings(name="hr", kind="sql", url="sqlite:///x", table="employee", columns=COLUMNS, **given)  # type: ignore[arg-type]
    return TableStatements(settings, engine, ("id", "login", "pw", "email"))


# --- own statements --------------------------------------------------------------------------------------------------


def test_values_are_taken_out_of_the_text() -> None:
    statement = own_statement("SELECT * FROM t WHERE id = :id", "get_statement")

    assert statement.names == ("id",)
    assert not statement.writes
    assert rendered("SELECT * FROM t WHERE id = :id") == "SELECT * FROM (SELECT * FROM t WHERE id = <0>) AS wardgate_rows LIMIT 100"


def test_casts_strings_and_comments_are_no_values() -> None:
    text = "SELECT a::text, ':x', \"a:id\", $$ :id $$ FROM t -- :name\n /* :x */ WHERE id = :id;"

    assert own_statement(text, "get_statement").names == ("id",)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; DROP TABLE t -- :id",
        "SELECT * FROM t WHERE id = ':id'",
        "SELECT * FROM t WHERE id = ?",
        "SELECT * FROM t WHERE id = $1",
        "SELECT * FROM t WHERE id = :nobody",
        "SELECT * FROM t",
        "SELECT * FROM t WHERE id = :id AND a = 'open",
        "DELETE FROM t WHERE id = :id",
        "",
        "SELECT * FROM t WHERE id = :id " + " " * 9_000,
    ],
)
def test_what_could_do_something_else_is_refused(text: str) -> None:
    with pytest.raises(StatementFault):
        own_statement(text, "get_statement")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("set_password_statement", "UPDATE t SET pw = :password WHERE pw = :old"),
        ("unlock_statement", "UPDATE t SET locked = 0"),
        ("write_phone_statement", "UPDATE t SET phone = :value"),
        ("write_mail_statement", "UPDATE t SET mail = :value"),
    ],
)
def test_a_statement_that_writes_to_everybody_is_refused(setting: str, text: str) -> None:
    """Everybody's codes would go to one phone."""
    with pytest.raises(StatementFault, match=":id or :username"):
        own_statement(text, setting)


def test_a_password_statement_without_its_condition_is_refused() -> None:
    """Without :old a change that somebody else just made would be overwritten."""
    with pytest.raises(StatementFault, match=":old"):
        own_statement("UPDATE t SET pw = :password WHERE id = :id", "set_password_statement")

    assert own_statement("UPDATE t SET pw = :password WHERE id = :id AND pw = :old", "set_password_statement").writes


def test_every_own_statement_is_a_setting() -> None:
    fields = SqlSettings.__dataclass_fields__

    assert {name for name in fields if name.endswith("_statement")} == set(OWN)


# --- ours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "name", "expected"),
    [
        (Engine.POSTGRESQL, 'we"ird', '"we""ird"'),
        (Engine.MYSQL, "we`ird", "`we``ird`"),
        # SQLite takes "x" for a text when there is no such column.
        (Engine.SQLITE, 'a"b', '`a"b`'),
    ],
)
def test_a_name_with_quotes_in_it_stays_a_name(engine: Engine, name: str, expected: str) -> None:
    assert quoted(name, engine) == expected


def test_a_table_may_have_a_schema() -> None:
    assert quoted_table("hr.employee", Engine.POSTGRESQL) == '"hr"."employee"'
    for wrong in ("a.b.c", "", ".a", "a\nb", "x" * 64):
        with pytest.raises(StatementFault):
            quoted_table(wrong, Engine.POSTGRESQL)


def test_names_and_mails_are_looked_up_in_one_statement() -> None:
    find = table(Engine.POSTGRESQL).find(2, True)

    assert find.names == ("n0", "n1", "n0", "n1")
    assert find.render(lambda at: f"${at + 1}") == (
        'SELECT * FROM (SELECT "id", "login", "pw", "email" FROM "employee" WHERE lower("login") IN ($1, $2) LIMIT 100) AS by_name '
        'UNION ALL SELECT * FROM (SELECT "id", "login", "pw", "email" FROM "employee" WHERE lower("email") IN ($3, $4) LIMIT 100) '
        "AS by_mail"
    )


def test_the_index_that_is_used_is_a_setting() -> None:
    assert "WHERE `login` IN" in table(Engine.MYSQL).find(1, False).pieces[0]
    assert "WHERE lower(`login`) IN" in table(Engine.MYSQL, username_match="lower").find(1, False).pieces[0]
    assert 'WHERE "login" IN' in table(Engine.POSTGRESQL, username_match="exact").find(1, False).pieces[0]


def test_an_update_holds_only_for_what_was_read() -> None:
    update = table(Engine.POSTGRESQL).update(["pw"], ["pw"])

    assert update.writes
    assert update.names == ("new_pw", "id", "old_pw")
    assert (
        update.render(lambda at: f"${at + 1}") == 'UPDATE "employee" SET "pw" = $1 WHERE "id" = $2 AND "pw" IS NOT DISTINCT FROM $3'
    )
