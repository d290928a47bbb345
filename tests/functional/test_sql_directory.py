"""Users in real tables: SQLite, PostgreSQL and MariaDB, as another program keeps them."""

import asyncio
import base64
import hashlib
import itertools
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import argon2
import bcrypt
import pytest

from tests import databases
from tests.databases import Database, Parts
from wardgate.clock import FixedClock
from wardgate.config.document import parse
from wardgate.crypto import Secret
from wardgate.directory.port import (
    AccountState,
    ContactKind,
    DirectoryUser,
    Finding,
    PasswordNotAccepted,
    PasswordVerdict,
    RightMissing,
    Verdict,
)
from wardgate.directory.sql.directory import SqlDirectory
from wardgate.directory.sql.settings import ColumnSettings, SqlPasswordSettings, SqlSettings
from wardgate.errors import Conflict, DirectoryUnavailable

SOON = 10.0
GOOD, NEW = Secret("correct horse battery"), Secret("staple-of-the-lake")
Open = Callable[..., SqlDirectory]


def _marked(kind: str) -> Any:
    marks = [pytest.mark.neighbour(databases.NEIGHBOURS[kind])] if kind in databases.NEIGHBOURS else []
    return pytest.param(kind, marks=marks)


KINDS = [_marked(kind) for kind in databases.ON]


@pytest.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    async with databases.ON[request.param]() as made:
        yield made


@pytest.fixture
def parts() -> Any:
    made = Parts()
    yield made
    made.hasher.close()


@pytest.fixture
async def opened(parts: Parts) -> AsyncIterator[Open]:
    """Makes directories, and closes them."""
    made: list[SqlDirectory] = []

    def build(settings: SqlSettings, using: Parts | None = None) -> SqlDirectory:
        made.append((using or parts).build(settings))
        return made[-1]

    yield build
    for directory in made:
        await directory.close()


async def found(directory: SqlDirectory, name: str) -> DirectoryUser:
    user = await directory.find(name, SOON)
    assert user is not None
    return user


async def findings(directory: SqlDirectory, scratch: str | None = None, password: Secret | None = None) -> dict[str, Finding]:
    return {finding.what: finding async for finding in directory.examine(scratch, password)}


def openssl_crypt(password: str, settings: str) -> str:
    """What another maker makes of a password and a salt."""
    command = ["openssl", "passwd", "-6", "-salt", settings, "-stdin"]
    return subprocess.run(command, input=password.encode(), capture_output=True, check=True, timeout=60).stdout.decode().strip()


# --- the configuration that operators copy ---------------------------------------------------------------------------


def test_the_documented_configuration_is_taken_as_it_stands() -> None:
    document = parse("""
realms:
  - {name: acme, default: true, directories: [hr]}
directories:
  - {name: hr, kind: sql, url: "postgresql://hr@127.0.0.1/hr", table: employee,
     columns: {id: id, username: login, password: pw_hash, mail: email, phone: gsm, disabled: is_disabled}}
""")

    settings = document.directories[0]
    assert isinstance(settings, SqlSettings)
    assert settings.columns == databases.PLAIN


# --- no way in by a value ----------------------------------------------------------------------------------------------

ATTACKS = [
    "ada' OR '1'='1",
    'ada" OR "1"="1',
    "ada' --",
    "'; DROP TABLE employee; --",
    "ada\\' OR 1=1 -- ",
    "x') UNION SELECT id, login, pw_hash FROM employee --",
    "ada%",
    "a_a",
    "%s %(n0)s {0} :n0 $1 ?",
    "ada\u00a0' OR 1=1#",
    "₿' OR 1=1 --",
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_sql_in_a_name_or_mail_finds_nobody_and_does_nothing(database: Database, opened: Open, attack: str) -> None:
    await database.insert(login="ada", email="ada@example.test")
    directory = opened(
        database.settings(columns=databases.WHOLE, group_statement="SELECT team FROM member WHERE login = :username OR login = :id")
    )

    for typed in (attack, f"{attack}@example.test", f"ada@example.test{attack}"):
        assert await directory.find(typed, SOON) is None
        assert await directory.sharing_mail(typed, SOON, 10) == ()
    assert await directory.get(attack, SOON) is None
    assert (await found(directory, "ada")).name == "ada"


@pytest.mark.parametrize("attack", ATTACKS)
async def test_sql_that_stands_in_the_table_is_only_text(database: Database, opened: Open, attack: str) -> None:
    attack = attack.strip()
    await database.insert(login=attack, pw_hash=await _hashed(GOOD), email="a@example.test", department="x' OR 1=1 --")
    await database.insert(login="eve", pw_hash=await _hashed(GOOD))
    await database.execute("INSERT INTO member (login, team) VALUES (?, ?)", attack, "g'; DELETE FROM employee; --")
    directory = opened(
        database.settings(
            group_statement="SELECT team FROM member WHERE login = :username",
            attributes={"department": "department"},
            write_contacts=("phone", "mail"),
        )
    )

    user = await found(directory, attack)
    assert (user.name, user.groups) == (attack, ("g'; DELETE FROM employee; --",))
    assert user.attributes == {"department": ("x' OR 1=1 --",)}
    assert await directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    await directory.write_contact(user, ContactKind.MAIL, f"{attack}@example.test", SOON)
    assert await database.value("email", attack) == f"{attack}@example.test"
    # Nobody else was changed.
    assert await directory.check_password(await found(directory, "eve"), GOOD, SOON) is PasswordVerdict.RIGHT


async def test_an_id_with_more_behind_it_is_nobody(database: Database, opened: Open) -> None:
    """MySQL holds the number 5 and the text 5abc for equal, and SQLite 5 and 5.0."""
    key = str(await database.insert(login="ada"))
    directory = opened(database.settings())

    assert (await directory.get(key, SOON)) is not None
    for wrong in (f"{key}abc", f"{key}.0", f" {key}", f"0{key}", f"{key} OR 1=1", "", "0", "9" * 40, "-1"):
        assert await directory.get(wrong, SOON) is None


async def test_a_column_that_does_not_exist_is_not_its_own_name(opened: Open) -> None:
    """SQLite takes "pw" for the text pw when there is no column pw, which would then be everybody's password."""
    async with databases.on_sqlite() as database:
        await database.insert(login="ada", pw_hash="secret")
        columns = ColumnSettings(id="id", username="login", password="passwort")
        directory = opened(database.settings(columns=columns, allow_plain=True))

        with pytest.raises(DirectoryUnavailable, match="passwort"):
            await directory.find("ada", SOON)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["Ada", "IRIS", "İrem", "ırmak", "ÇAĞLA", "Ümit.Öz", "ŞİRİN"])
async def test_a_name_is_found_as_names_compare(database: Database, opened: Open, stored: str) -> None:
    await database.insert(login=stored, email=f"{stored}@Örnek.test")
    directory = opened(database.settings())

    for typed in (stored, f" {stored} ", _lower(stored), f"{stored}@örnek.TEST"):
        assert (await found(directory, typed)).name == stored
    twin = stored.translate(str.maketrans("iıİI", "ıiIİ"))
    if twin != stored:
        assert await directory.find(twin, SOON) is None


def _lower(name: str) -> str:
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in name)


async def test_of_two_users_with_one_name_neither_is_found(database: Database, opened: Open) -> None:
    await database.insert(login="ada")
    await database.insert(login="ADA")

    assert await opened(database.settings()).find("Ada", SOON) is None


async def test_accents_that_a_collation_ignores_are_two_people(database: Database, opened: Open) -> None:
    for name in ("ismail", "İsmail", "ısmail", "ümit", "umit"):
        await database.insert(login=name)
    directory = opened(database.settings())

    for name in ("ismail", "İsmail", "ısmail", "ümit", "umit"):
        assert (await found(directory, name)).name == name


@pytest.mark.neighbour("postgresql")
async def test_names_are_found_where_the_column_folds_as_in_turkish(opened: Open) -> None:
    async with databases.on_postgresql() as database:
        await database.execute('CREATE TABLE tr (id int PRIMARY KEY, login text COLLATE "tr-x-icu", pw text)')
        try:
            for number, name in enumerate(("IRIS", "Iris2", "İrem", "ılgaz")):
                await database.execute("INSERT INTO tr VALUES (?, ?, '')", number, name)
            columns = ColumnSettings(id="id", username="login", password="pw")
            directory = opened(database.settings(table="tr", columns=columns))

            for typed, name in (("iris", "IRIS"), ("iRiS2", "Iris2"), ("İREM", "İrem"), ("ılgaz", "ılgaz")):
                assert (await found(directory, typed)).name == name
            assert await directory.find("irem", SOON) is None
        finally:
            await database.execute("DROP TABLE tr")


async def test_a_hundred_thousand_rows_are_searched_by_index(database: Database, opened: Open) -> None:
    numbers = {
        "postgresql": "SELECT 'u' || n FROM generate_series(1, 100000) n",
        "mariadb": "SELECT concat('u', seq) FROM seq_1_to_100000",
        "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT 'u' || n FROM s",
    }
    await database.execute(f"INSERT INTO employee (login) {numbers[database.kind]}")
    directory = opened(database.settings())

    assert (await found(directory, "U54321")).name == "u54321"
    told = await findings(directory)
    for what in ("index on login", "index on email", "index on id"):
        assert told[what].verdict is Verdict.GOOD, told[what]


# --- hashes ----------------------------------------------------------------------------------------------------------


async def _hashed(password: Secret) -> str:
    return argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password.reveal())


def _django(password: bytes) -> str:
    value = hashlib.pbkdf2_hmac("sha256", password, b"saltsalt", 1000)
    return f"pbkdf2_sha256$1000$saltsalt${base64.b64encode(value).decode()}"


def _scrypt(password: bytes) -> str:
    value = hashlib.scrypt(password, salt=b"saltsalt", n=1024, r=8, p=1, dklen=64)
    return f"scrypt$1024$saltsalt$8$1${base64.b64encode(value).decode()}"


def _ssha(password: bytes, algorithm: str = "sha1", name: str = "SSHA") -> str:
    return f"{{{name}}}" + base64.b64encode(hashlib.new(algorithm, password + b"salt").digest() + b"salt").decode()


FOREIGN: dict[str, Callable[[bytes], str]] = {
    "argon2id": lambda password: argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(password),
    "argon2-of-django": lambda password: "argon2" + argon2.PasswordHasher(time_cost=1, memory_cost=64).hash(password),
    "bcrypt": lambda password: bcrypt.hashpw(password, bcrypt.gensalt(4)).decode(),
    "bcrypt-of-php": lambda password: bcrypt.hashpw(password, bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "pbkdf2": _django,
    "scrypt": _scrypt,
    "sha512-crypt": lambda password: openssl_crypt(password.decode(), "rounds=1000$saltsalt"),
    "crypt-of-dovecot": lambda password: "{CRYPT}" + openssl_crypt(password.decode(), "saltsalt"),
    "ssha": _ssha,
    "ssha512": lambda password: _ssha(password, "sha512", "SSHA512"),
}


@pytest.mark.parametrize("scheme", FOREIGN)
async def test_a_hash_that_another_program_made_is_checked(opened: Open, parts: Parts, scheme: str) -> None:
    async with databases.on_sqlite() as database:
        await database.insert(login="ada", pw_hash=FOREIGN[scheme](GOOD.reveal()))
        directory = opened(database.settings())
        user, before = await found(directory, "ada"), parts.hasher.runs

        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
        assert await directory.check_password(user, NEW, SOON) is PasswordVerdict.WRONG
        # Each check does the work of an Argon2id check, whatever it did beside it.
        assert parts.hasher.runs - before in (2, 4)


def _checks(scheme: str, stored: str, password: bytes) -> bool:
    """Whether another maker finds the password right."""
    if scheme.startswith("argon2"):
        return argon2.PasswordHasher().verify(stored.removeprefix("argon2") if scheme != "argon2id" else stored, password)
    if scheme.startswith("bcrypt"):
        return bcrypt.checkpw(password, stored.replace("$2y$", "$2b$").encode())
    if scheme == "pbkdf2":
        _, iterations, salt, value = stored.split("$")
        made = hashlib.pbkdf2_hmac("sha256", password, salt.encode(), int(iterations))
        return base64.b64encode(made).decode() == value
    if scheme == "scrypt":
        _, n, salt, r, p, value = stored.split("$")
        made = hashlib.scrypt(password, salt=salt.encode(), n=int(n), r=int(r), p=int(p), maxmem=2**27, dklen=64)
        return base64.b64encode(made).decode() == value
    if scheme in ("sha512-crypt", "crypt-of-dovecot"):
        _, kind, rounds, salt, _ = stored.removeprefix("{CRYPT}").split("$")
        return kind == "6" and openssl_crypt(password.decode(), f"{rounds}${salt}") == stored.removeprefix("{CRYPT}")
    algorithm = "sha512" if scheme == "ssha512" else "sha1"
    value = base64.b64decode(stored.partition("}")[2])
    size = hashlib.new(algorithm).digest_size
    return hashlib.new(algorithm, password + value[size:]).digest() == value[:size]


@pytest.mark.parametrize("scheme", FOREIGN)
async def test_a_hash_is_written_as_the_other_program_reads_it(opened: Open, scheme: str) -> None:
    async with databases.on_sqlite() as database:
        before = FOREIGN[scheme](GOOD.reveal())
        await database.insert(login="ada", pw_hash=before)
        directory = opened(database.settings(write_hash="same"))
        user = await found(directory, "ada")

        assert await directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
        written = await database.value("pw_hash", "ada")
        assert _checks(scheme, written, NEW.reveal())
        assert written.split("$")[:2] == before.split("$")[:2] or scheme in ("pbkdf2", "scrypt", "ssha", "ssha512")
        assert await directory.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT
        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.WRONG


@pytest.mark.parametrize("scheme", ["argon2id", "bcrypt", "pbkdf2", "scrypt", "sha512-crypt", "ssha", "ssha512"])
async def test_the_scheme_that_is_written_is_a_setting(opened: Open, scheme: str) -> None:
    async with databases.on_sqlite() as database:
        await database.insert(login="ada", pw_hash=None)
        directory = opened(database.settings(write_hash=scheme))
        await directory.reset_password(await found(directory, "ada"), NEW, False, SOON)

        assert _checks(scheme, await database.value("pw_hash", "ada"), NEW.reveal())
        assert (await findings(directory))["hashes"].found == f"1 rows: 1 {scheme}"


async def test_a_password_in_clear_is_refused_unless_it_is_allowed(database: Database, opened: Open, parts: Parts) -> None:
    await database.insert(login="ada", pw_hash="correct horse battery")
    strict, lax = opened(database.settings()), opened(database.settings(allow_plain=True))
    user, before = await found(strict, "ada"), parts.hasher.runs

    assert await strict.check_password(user, GOOD, SOON) is PasswordVerdict.WRONG
    assert await lax.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
    assert await lax.check_password(user, Secret("Correct horse battery"), SOON) is PasswordVerdict.WRONG
    assert parts.hasher.runs == before + 3
    told = await findings(strict), await findings(lax)
    assert [each["passwords in clear"].verdict for each in told] == [Verdict.BAD, Verdict.WARNING]
    assert GOOD.reveal().decode() not in str(told)


@pytest.mark.parametrize(
    "stored",
    [
        hashlib.md5(b"secret").hexdigest(),
        hashlib.sha256(b"secret").hexdigest(),
        "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
        "sha1$salt$" + hashlib.sha1(b"saltsecret").hexdigest(),
        "*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29",
        "{X-OTHER}abcdef",
        "$2b$31$" + "a" * 53,
        "!",
        "*",
    ],
)
async def test_a_stolen_hash_is_not_a_password(opened: Open, stored: str) -> None:
    async with databases.on_sqlite() as database:
        await database.insert(login="ada", pw_hash=stored)
        directory = opened(database.settings(allow_plain=True))

        assert await directory.check_password(await found(directory, "ada"), Secret(stored), SOON) is PasswordVerdict.WRONG


@pytest.mark.parametrize(
    ("scheme", "password"), [("bcrypt", b"a\x00bcdefghijkl"), ("bcrypt", b"x" * 73), ("sha512-crypt", b"a\x00bcdefghijkl")]
)
async def test_a_password_that_the_scheme_would_cut_is_not_taken(opened: Open, scheme: str, password: bytes) -> None:
    async with databases.on_sqlite() as database:
        await database.insert(login="ada", pw_hash=await _hashed(GOOD))
        directory = opened(database.settings(write_hash=scheme))
        user = await found(directory, "ada")
        with pytest.raises(PasswordNotAccepted):
            await directory.reset_password(user, Secret(password), False, SOON)
        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_who_has_no_password_or_an_unknown_hash_costs_what_a_wrong_password_costs(opened: Open, parts: Parts) -> None:
    async with databases.on_sqlite() as database:
        for name, stored in (
            ("right", await parts.hasher.hash(GOOD)),
            ("empty", None),
            ("odd", "$1$salt$xxxx"),
            ("clear", "clear"),
        ):
            await database.insert(login=name, pw_hash=stored)
        directory = opened(database.settings())
        marks = [parts.hasher.runs]
        for name in ("right", "empty", "odd", "clear"):
            await directory.check_password(await found(directory, name), NEW, SOON)
            marks.append(parts.hasher.runs)
        await directory.check_nobody(NEW, SOON)
        marks.append(parts.hasher.runs)

        assert [later - earlier for earlier, later in itertools.pairwise(marks)] == [1] * 5


# --- writing ---------------------------------------------------------------------------------------------------------


async def test_of_two_changes_at_once_one_holds(database: Database, opened: Open) -> None:
    await database.insert(login="ada", pw_hash=await _hashed(GOOD))
    one, other = opened(database.settings()), opened(database.settings())
    user = await found(one, "ada")
    news = [Secret(f"new password {number}") for number in range(4)]

    outcomes = await asyncio.gather(
        *(each.change_password(user, GOOD, new, SOON) for each, new in zip((one, other, one, other), news, strict=True)),
        return_exceptions=True,
    )

    assert outcomes.count(PasswordVerdict.RIGHT) == 1
    assert all(isinstance(outcome, Conflict) or outcome in (PasswordVerdict.RIGHT, PasswordVerdict.WRONG) for outcome in outcomes)
    verdicts = [await one.check_password(user, new, SOON) for new in news]
    assert verdicts.count(PasswordVerdict.RIGHT) == 1
    assert outcomes[verdicts.index(PasswordVerdict.RIGHT)] is PasswordVerdict.RIGHT


async def test_a_lock_is_lifted_by_one_of_two(database: Database, opened: Open) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    until = later if database.kind == "postgresql" else f"{later:%Y-%m-%d %H:%M:%S.%f}"
    await database.insert(login="ada", locked_until=until, failures=7)
    one, other = (opened(database.settings(columns=databases.WHOLE)) for _ in range(2))
    user = await found(one, "ada")

    assert user.state is AccountState.LOCKED
    assert sorted(await asyncio.gather(one.unlock(user, SOON), other.unlock(user, SOON))) == [False, True]
    assert (await found(one, "ada")).state is AccountState.ACTIVE
    assert await database.value("failures", "ada") == 0


async def test_what_is_written_is_read_back(database: Database, opened: Open) -> None:
    await database.insert(login="ada", pw_hash=await _hashed(GOOD), gsm="0532 123 45 67")
    clock = FixedClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    using = Parts(clock=clock)
    settings = database.settings(
        columns=databases.WHOLE,
        write_contacts=("phone", "mail"),
        password_rules=SqlPasswordSettings(max_age_days=10),
        time_zone="Europe/Istanbul",
    )
    directory = opened(settings, using)
    user = await found(directory, "ada")
    await directory.reset_password(user, NEW, True, SOON)
    await directory.write_contact(user, ContactKind.PHONE, None, SOON)
    await directory.write_contact(user, ContactKind.MAIL, "ada@example.test", SOON)

    changed = await found(directory, "ada")
    assert (user.phone, changed.phone, changed.mail) == ("+905321234567", None, "ada@example.test")
    assert changed.must_change
    assert changed.password_expires_at == datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
    assert await directory.check_password(changed, NEW, SOON) is PasswordVerdict.MUST_CHANGE
    assert await directory.change_password(changed, NEW, GOOD, SOON) is PasswordVerdict.RIGHT
    clock.advance(11 * 86_400)
    assert await directory.check_password(changed, GOOD, SOON) is PasswordVerdict.EXPIRED
    using.hasher.close()


async def test_an_account_that_ended_is_refused_with_a_right_password(database: Database, opened: Open) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    await database.insert(
        login="ada", pw_hash=await _hashed(GOOD), ends=past if database.kind == "postgresql" else "2020-01-01 00:00:00"
    )
    directory = opened(database.settings(columns=databases.WHOLE))
    user = await found(directory, "ada")

    assert user.state is AccountState.EXPIRED
    assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.ACCOUNT_EXPIRED
    assert await directory.check_password(user, NEW, SOON) is PasswordVerdict.WRONG


async def test_what_is_not_configured_is_refused_by_its_name(database: Database, opened: Open) -> None:
    await database.insert(login="ada", pw_hash=await _hashed(GOOD))
    directory, closed = opened(database.settings()), opened(database.settings(read_only=True))
    user = await found(directory, "ada")

    with pytest.raises(RightMissing, match=r"directories\.hr\.columns\.must_change"):
        await directory.reset_password(user, NEW, True, SOON)
    with pytest.raises(RightMissing, match="unlock_statement"):
        await directory.unlock(user, SOON)
    with pytest.raises(RightMissing, match="write_contacts"):
        await directory.write_contact(user, ContactKind.PHONE, "+905321234567", SOON)
    for refused in (
        closed.reset_password(user, NEW, False, SOON),
        closed.change_password(user, GOOD, NEW, SOON),
        closed.unlock(user, SOON),
    ):
        with pytest.raises(RightMissing, match="read_only"):
            await refused
    assert await closed.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_change_of_the_row_is_a_new_version(database: Database, opened: Open) -> None:
    await database.insert(login="ada", pw_hash=await _hashed(GOOD))
    directory = opened(database.settings(verified_cache_s=60, columns=databases.WHOLE))
    user = await found(directory, "ada")
    await directory.check_password(user, GOOD, SOON)
    assert directory.remembers(await found(directory, "ada"), GOOD)

    for column, value in (("failures", 1), ("email", "new@example.test"), ("pw_hash", await _hashed(GOOD))):
        await database.execute(f"UPDATE employee SET {column} = ? WHERE login = 'ada'", value)
        changed = await found(directory, "ada")
        assert changed.version != user.version
        assert not directory.remembers(changed, GOOD)
        user = changed
        await directory.check_password(user, GOOD, SOON)
        assert directory.remembers(user, GOOD)


# --- other people's tables ---------------------------------------------------------------------------------------------


async def test_own_statements_over_two_tables(database: Database, opened: Open) -> None:
    key = "CAST(e.id AS char(40))" if database.kind == "mariadb" else "CAST(e.id AS text)"
    fields = f"{key} AS uid, e.login AS name, e.pw_hash AS secret, e.must_change AS must"
    setting = "must_change = (:must_change = '1')" if database.kind == "postgresql" else "must_change = :must_change"
    await database.insert(login="ada", pw_hash=await _hashed(GOOD))
    await database.execute("INSERT INTO member (login, team) VALUES ('ada', 'vpn')")
    directory = opened(
        database.settings(
            table=None,
            columns=ColumnSettings(id="uid", username="name", password="secret", must_change="must"),
            find_statement=f"SELECT {fields} FROM employee e WHERE lower(e.login) = :name",
            get_statement=f"SELECT {fields} FROM employee e WHERE {key} = :id",
            group_statement="SELECT m.team FROM member m JOIN employee e ON e.login = m.login WHERE e.login = :username",
            set_password_statement=f"UPDATE employee SET pw_hash = :password, {setting} WHERE login = :username AND pw_hash = :old",
            unlock_statement="UPDATE employee SET failures = 0 WHERE login = :username",
        )
    )

    user = await found(directory, "ADA")
    assert user.groups == ("vpn",)
    assert await directory.get(user.immutable_id, SOON) == user
    assert await directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    await directory.reset_password(user, GOOD, True, SOON)
    assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.MUST_CHANGE
    told = await findings(directory)
    assert {told[name].verdict for name in ("find_statement", "group_statement", "set_password_statement")} <= {
        Verdict.GOOD,
        Verdict.WARNING,
    }


async def test_an_own_statement_tells_everybody_who_shares_a_mail_address(database: Database, opened: Open) -> None:
    for login in ("ada", "bob"):
        await database.insert(login=login, email="Team@example.test")
    await database.insert(login="team@example.test", email="other@example.test")
    own = "SELECT * FROM employee WHERE lower(login) = :name OR lower(email) = :name"
    directory = opened(database.settings(columns=databases.WHOLE, find_statement=own))

    told = await directory.sharing_mail("team@example.test", SOON, 10)
    assert sorted(user.name for user in told) == ["ada", "bob"]


async def test_a_statement_that_cannot_demand_a_change_is_not_believed_to(database: Database, opened: Open) -> None:
    await database.insert(login="ada", pw_hash=await _hashed(GOOD), failures=9)
    settings = database.settings(
        columns=databases.WHOLE,
        lock_threshold=5,
        set_password_statement="UPDATE employee SET pw_hash = :password WHERE login = :username AND pw_hash = :old",
        unlock_statement="UPDATE employee SET failures = 0 WHERE login = :username AND failures > 0",
    )
    directory = opened(settings)
    user = await found(directory, "ada")
    assert user.state is AccountState.LOCKED

    with pytest.raises(RightMissing, match=":must_change"):
        await directory.reset_password(user, NEW, True, SOON)
    await directory.reset_password(user, NEW, False, SOON)
    unlocked = await found(directory, "ada")
    assert unlocked.state is AccountState.ACTIVE
    assert await directory.check_password(unlocked, NEW, SOON) is PasswordVerdict.RIGHT


async def test_a_statement_for_one_user_that_changes_two_gives_nobody_the_password_of_another(
    database: Database, opened: Open
) -> None:
    stored = await _hashed(GOOD)
    for name in ("ada", "bob"):
        await database.insert(login=name, pw_hash=stored)
    statement = "UPDATE employee SET pw_hash = :password WHERE pw_hash = :old OR login = :username"
    directory = opened(database.settings(set_password_statement=statement))

    with pytest.raises(DirectoryUnavailable, match="2 rows, and was undone"):
        await directory.change_password(await found(directory, "ada"), GOOD, NEW, SOON)
    for name in ("ada", "bob"):
        user = await found(directory, name)
        assert await directory.check_password(user, NEW, SOON) is PasswordVerdict.WRONG
        assert await directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_words_for_flags_and_seconds_for_moments(database: Database, opened: Open) -> None:
    await database.execute(
        "CREATE TABLE odd (nr integer PRIMARY KEY, nm varchar(40), pw varchar(200), "
        "off varchar(10), must varchar(1), ends bigint, at bigint)"
    )
    try:
        rows = [
            (1, "ada", "N", "Y", 4102444800),
            (2, "bob", "Y", "N", 0),
            (3, "cem", "unclear", "N", 0),
            (4, "dua", "N", "N", 946684800000),
        ]
        for number, name, off, must, ends in rows:
            await database.execute(
                "INSERT INTO odd VALUES (?, ?, ?, ?, ?, ?, 0)", number, name, await _hashed(GOOD), off, must, ends
            )
        columns = ColumnSettings(
            id="nr", username="nm", password="pw", disabled="off", must_change="must", expires_at="ends", password_changed_at="at"
        )
        directory = opened(database.settings(table="odd", columns=columns, true_value="Y", false_value="N", written_times="epoch"))
        users = [await found(directory, name) for name in ("ada", "bob", "cem", "dua")]

        assert [user.state for user in users] == [
            AccountState.ACTIVE,
            AccountState.DISABLED,
            AccountState.DISABLED,
            AccountState.EXPIRED,
        ]
        assert users[0].must_change
        assert await directory.change_password(users[0], GOOD, NEW, SOON) is PasswordVerdict.RIGHT
        must, at = (await database.execute("SELECT must, at FROM odd WHERE nr = 1"))[0]
        assert must == "N"
        assert abs(at - datetime.now(UTC).timestamp()) < 600
    finally:
        await database.execute("DROP TABLE odd")


async def test_a_view_and_a_table_of_a_schema(database: Database, opened: Open) -> None:
    schema = {"postgresql": "staffing", "mariadb": database.name, "sqlite": "main"}[database.kind]
    if database.kind == "postgresql":
        await database.execute("CREATE SCHEMA staffing")
    view = f"{schema}.people"
    await database.execute(
        f"CREATE VIEW {view} AS SELECT id, login, pw_hash, email, gsm, is_disabled FROM employee WHERE failures = 0"
    )
    try:
        await database.insert(login="ada", pw_hash=await _hashed(GOOD))
        await database.insert(login="bob", pw_hash=await _hashed(GOOD), failures=1)
        directory = opened(database.settings(table=view))

        assert await directory.check_password(await found(directory, "ada"), GOOD, SOON) is PasswordVerdict.RIGHT
        assert await directory.find("bob", SOON) is None
    finally:
        await database.execute(f"DROP VIEW {view}")
        if database.kind == "postgresql":
            await database.execute("DROP SCHEMA staffing")
