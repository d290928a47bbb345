"""The client before servers that are silent, lie, break off or never end: nothing blocks, and the next server answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import ldap_server
from tests.ldap_server import Mood, Request, done, entry, reference
from tests.slapd import Authority
from tests.unit.directory.ldap.clients import client
from wardgate.clock import FixedClock
from wardgate.config.reference import SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.ldap import ber, connection, messages
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Change, ChangeKind, Code, Control, Entry, LdapRefused, Scope, ServerState
from wardgate.errors import DirectoryUnavailable, Overloaded, SettingsError, UsageError

USER = "cn=ada,dc=acme,dc=test"
PASSWORD = "right password"
BASE = "dc=acme,dc=test"
LONG_S = 20.0
BAD = [Mood.SILENT, Mood.MUTE, Mood.RESET, Mood.GARBAGE, Mood.CUT, Mood.HALF_CLOSE, Mood.NOTICE, Mood.BUSY]
WRITE = (Change(ChangeKind.REPLACE, "mobile", (b"1",)),)


@asynccontextmanager
async def servers(count: int, directory: Path, starttls: bool = False) -> AsyncIterator[list[ldap_server.Server]]:
    """Servers of one authority that know the same user."""
    issuer = Authority(directory / "ca.pem")
    with ExitStack() as stack:
        found = [stack.enter_context(ldap_server.running(starttls=starttls, authority=issuer)) for _ in range(count)]
        for server in found:
            server.passwords[USER] = PASSWORD
            server.entries = [(USER, {"cn": [b"ada"]})]
        yield found


@asynccontextmanager
async def asking(*to: ldap_server.Server, **given: object) -> AsyncIterator[Client]:
    """A client of these servers; its connections end with the block."""
    made = client(*(server.url for server in to), ca_file=to[0].ca_file, **given)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()


async def find(ldap: Client, timeout_s: float = LONG_S, **given: object) -> tuple[Entry, ...]:
    """One look-up."""
    return await ldap.search(BASE, Scope.SUBTREE, "(cn=ada)", ("cn",), timeout_s=timeout_s, limit=2, **given)  # type: ignore[arg-type]


async def bind(ldap: Client, password: str = PASSWORD, timeout_s: float = LONG_S) -> int:
    """One check of the user's password."""
    return (await ldap.bind(USER, Secret(password), timeout_s=timeout_s)).code


def states(ldap: Client) -> list[ServerState]:
    """What the client holds of its servers."""
    return [status.state for status in ldap.status()]


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for what other tasks do."""
    async with asyncio.timeout(LONG_S):
        while not true():
            await asyncio.sleep(0.01)


# --- the next server answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", BAD)
async def test_when_the_first_server_misbehaves_the_next_one_finds_and_binds(mood: Mood, tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (bad, good), asking(bad, good, connect_s=1, operation_s=1) as ldap:
        bad.mood = mood
        assert [found.dn for found in await find(ldap)] == [USER]
        assert await bind(ldap) == Code.SUCCESS
        assert states(ldap)[0] is not ServerState.UP
        assert states(ldap)[1] is ServerState.UP
        assert not bad.user_binds()


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.MUTE])
async def test_a_silent_server_does_not_eat_the_time_of_a_login(mood: Mood, tmp_path: Path) -> None:
    """The limits of one step are longer than the whole login may take: what is left is shared with the next server."""
    async with servers(2, tmp_path) as (silent, good), asking(silent, good, connect_s=60, operation_s=60) as ldap:
        silent.mood = mood
        assert len(await find(ldap, timeout_s=3.0)) == 1
        assert await bind(ldap, timeout_s=3.0) == Code.SUCCESS


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.MUTE, Mood.ENDLESS])
async def test_the_loop_goes_on_while_a_server_is_silent_or_floods(mood: Mood, tmp_path: Path) -> None:
    # The first connection has all the time that a busy machine needs; only the search before the bad server has little.
    async with servers(1, tmp_path) as (bad,), asking(bad, connect_s=LONG_S, operation_s=LONG_S) as ldap:
        await find(ldap)
        bad.moods["search"] = mood
        if mood is Mood.SILENT:
            bad.mood = mood
            bad.drop_all()
            await eventually(lambda: bad.ended == bad.connections)
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(DirectoryUnavailable):
            await ldap.search(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=2.0)
        ticking.cancel()
        # A loop that stands still until the time is up has not a single turn for anybody else.
        assert turns >= 1


async def test_nobody_answers_within_the_time_of_the_call(tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other, connect_s=60, operation_s=60) as ldap:
        one.mood = other.mood = Mood.SILENT
        begun = time.monotonic()
        with pytest.raises(DirectoryUnavailable):
            await find(ldap, timeout_s=0.5)
        with pytest.raises(DirectoryUnavailable):
            await bind(ldap, timeout_s=0.5)
        assert time.monotonic() - begun < 10


async def test_a_server_that_is_slow_but_talks_is_waited_for(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (slow,), asking(slow, operation_s=LONG_S) as ldap:
        slow.mood = Mood.SLOW
        assert len(await find(ldap)) == 1


@pytest.mark.parametrize("mood", [Mood.RESET, Mood.GARBAGE, Mood.CUT, Mood.HALF_CLOSE, Mood.NOTICE])
async def test_an_answer_that_broke_off_is_asked_for_elsewhere(mood: Mood, tmp_path: Path) -> None:
    """The connection stands already, and breaks under a search."""
    async with servers(2, tmp_path) as (bad, good), asking(bad, good) as ldap:
        await find(ldap)
        assert bad.asked("search")
        bad.moods["search"] = mood
        assert len(await find(ldap)) == 1
        assert good.asked("search")


async def test_a_restarted_server_is_used_again_at_once(tmp_path: Path) -> None:
    """Our reader sees the end of the connection; the next call opens another one."""
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        await find(ldap)
        await bind(ldap)
        server.drop_all()
        await eventually(lambda: server.ended == server.connections)
        await asyncio.sleep(0.05)
        assert len(await find(ldap)) == 1
        assert await bind(ldap) == Code.SUCCESS


# --- up, suspect, down ----------------------------------------------------------------------------------------------------------


async def test_a_server_that_is_down_is_left_alone_and_probed_until_it_is_back(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(2, tmp_path) as (first, second), asking(first, second, clock=clock, connect_s=0.3, operation_s=5) as ldap:
        first.mood = Mood.SILENT
        await find(ldap)
        await eventually(lambda: states(ldap)[0] is ServerState.DOWN)
        before = first.connections
        for _ in range(10):
            await find(ldap)
        assert first.connections == before
        first.mood = Mood.ANSWER
        async with asyncio.timeout(LONG_S):
            while states(ldap)[0] is not ServerState.UP:
                clock.advance(80)
                await find(ldap)
                await asyncio.sleep(0.02)
        asked = len(first.asked("search"))
        await find(ldap)
        assert len(first.asked("search")) > asked


async def test_while_all_are_down_nobody_waits_and_one_probe_is_enough_for_all(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(1, tmp_path) as (only,), asking(only, clock=clock, connect_s=0.3) as ldap:
        only.mood = Mood.SILENT
        with pytest.raises(DirectoryUnavailable):
            await find(ldap)
        before = only.connections
        with pytest.raises(DirectoryUnavailable):
            await find(ldap)
        assert only.connections == before
        only.mood = Mood.ANSWER
        clock.advance(80)
        found = await asyncio.gather(*(find(ldap) for _ in range(20)))
        assert all(len(each) == 1 for each in found)
        assert only.connections <= before + 2  # the probe, and one for all


async def test_ordered_asks_the_first_and_round_robin_all(tmp_path: Path) -> None:
    async with servers(3, tmp_path) as three:
        async with asking(*three) as ldap:
            for _ in range(6):
                await find(ldap)
            assert [bool(server.asked("search")) for server in three] == [True, False, False]
        async with asking(*three, order="round_robin") as ldap:
            for _ in range(6):
                await find(ldap)
            assert all(server.asked("search") for server in three)


async def test_one_server_alone_is_asked_when_it_is_named(tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other) as ldap:
        await find(ldap, server=other.name)
        assert not one.requests
        ldap.stick("ada", other.name)
        assert ldap.stuck("ada") == other.name
        assert ldap.stuck("grace") is None
        other.mood = Mood.RESET
        other.drop_all()
        for _ in range(3):
            with pytest.raises(DirectoryUnavailable):
                await find(ldap, server=other.name)
        await eventually(lambda: states(ldap)[1] is ServerState.DOWN)
        assert ldap.stuck("ada") is None
        with pytest.raises(DirectoryUnavailable):
            await find(ldap, server="elsewhere:636")


async def test_what_sticks_is_forgotten_after_some_minutes(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(1, tmp_path) as (one,), asking(one, clock=clock) as ldap:
        await find(ldap)
        ldap.stick("ada", one.name)
        clock.advance(299)
        assert ldap.stuck("ada") == one.name
        clock.advance(2)
        assert ldap.stuck("ada") is None


# --- binds ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [Code.INVALID_CREDENTIALS, Code.CONSTRAINT_VIOLATION, Code.UNWILLING])
async def test_a_wrong_password_is_never_sent_to_a_second_server(code: Code, tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other) as ldap:
        one.answer = lambda request: done(request, code) if request.kind == "bind" and request.dn == USER else None
        assert await bind(ldap, "wrong") == code
        assert not other.requests


@pytest.mark.parametrize("mood", [Mood.MUTE, Mood.RESET, Mood.GARBAGE, Mood.CUT, Mood.HALF_CLOSE])
async def test_a_bind_that_may_have_counted_is_never_sent_to_a_second_server(mood: Mood, tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other, operation_s=0.5) as ldap:
        one.moods["bind"] = mood
        with pytest.raises(DirectoryUnavailable) as unknown:
            await bind(ldap)
        assert unknown.value.code == "outcome_unknown"
        assert len(one.user_binds()) == 1
        assert not other.requests


async def test_a_busy_server_sends_a_bind_on(tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other) as ldap:
        one.moods["bind"] = Mood.BUSY
        assert await bind(ldap) == Code.SUCCESS
        assert len(other.user_binds()) == 1


async def test_users_are_bound_again_on_the_same_connections_and_nothing_else_runs_there(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server, connections=3) as ldap:
        codes = await asyncio.gather(*(bind(ldap, PASSWORD if n % 2 else "wrong") for n in range(30)))
        await asyncio.gather(*(find(ldap) for _ in range(10)))
        assert sorted(codes) == [0] * 15 + [49] * 15
        for_binds = {request.connection for request in server.user_binds()}
        assert len(for_binds) <= 3
        assert {request.kind for request in server.requests if request.connection in for_binds} == {"bind"}


async def test_searches_never_run_as_a_user_that_was_bound(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        for _ in range(3):
            await bind(ldap)
            async with ldap.bound_as(USER, Secret(PASSWORD), timeout_s=LONG_S) as (_, session):
                await session.modify(USER, WRITE, timeout_s=LONG_S)
            await find(ldap)
        searched = {request.connection for request in server.asked("search")}
        assert not searched & {request.connection for request in server.user_binds()}
        modified = {request.connection for request in server.asked("modify")}
        await eventually(lambda: len(server.asked("unbind")) >= len(modified))
        assert modified <= {request.connection for request in server.asked("unbind")}


async def test_a_flood_of_checks_is_bounded_and_every_source_has_its_turn(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server, connections=1, operation_s=LONG_S) as ldap:
        await bind(ldap)
        server.moods["bind"] = Mood.MUTE
        flood = [asyncio.create_task(ldap.bind(USER, Secret(b"guess"), timeout_s=LONG_S, source="flooder")) for _ in range(200)]
        await eventually(lambda: any(task.done() for task in flood))
        own = asyncio.create_task(ldap.bind(USER, Secret(PASSWORD), timeout_s=LONG_S, source="ada"))
        await asyncio.sleep(0)
        refused = [task for task in flood if task.done()]
        assert refused
        assert all(isinstance(task.exception(), Overloaded) for task in refused)
        server.moods.clear()
        server.drop_all()
        assert (await own).code == Code.SUCCESS
        assert sum(not task.done() for task in flood) > 0
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert await bind(ldap) == Code.SUCCESS


async def test_a_place_is_not_lost_when_a_check_is_given_up(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server, connections=1) as ldap:
        server.mood = Mood.MUTE
        tasks = [asyncio.create_task(bind(ldap, timeout_s=LONG_S)) for _ in range(10)]
        await eventually(lambda: server.connections > 0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.mood = Mood.ANSWER
        assert await bind(ldap) == Code.SUCCESS


async def test_an_empty_password_is_never_sent(tmp_path: Path) -> None:
    """RFC 4513 section 5.1.2: a server would say yes to it without any check."""
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        for dn, password in ((USER, ""), ("", PASSWORD)):
            with pytest.raises(UsageError):
                await ldap.bind(dn, Secret(password), timeout_s=LONG_S)
            with pytest.raises(UsageError):
                ldap.bound_as(dn, Secret(password), timeout_s=LONG_S)
        assert not server.connections


# --- writes ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", [Mood.MUTE, Mood.RESET, Mood.GARBAGE, Mood.CUT])
async def test_a_modification_without_an_answer_is_told_as_unknown_and_never_repeated(mood: Mood, tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other, operation_s=0.5) as ldap:
        await find(ldap)
        one.moods["modify"] = mood
        with pytest.raises(DirectoryUnavailable) as unknown:
            await ldap.modify(USER, WRITE, timeout_s=LONG_S)
        assert unknown.value.code == "outcome_unknown"
        assert len(one.asked("modify")) == 1
        assert not other.asked("modify")


async def test_a_modification_goes_to_the_next_server_when_none_was_sent(tmp_path: Path) -> None:
    async with servers(2, tmp_path) as (one, other), asking(one, other, connect_s=0.3) as ldap:
        one.mood = Mood.SILENT
        assert (await ldap.modify(USER, WRITE, timeout_s=LONG_S)).server == other.name


# --- the service account --------------------------------------------------------------------------------------------------------


async def test_a_wrong_service_password_does_not_lock_the_service_account(tmp_path: Path) -> None:
    """Hundreds of logins in a row, on two servers: one bind, one more after a minute, and then none for half an hour."""
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(2, tmp_path) as (one, other), asking(one, other, clock=clock) as ldap:
        one.passwords[ldap_server.SERVICE] = other.passwords[ldap_server.SERVICE] = "changed"
        for _ in range(100):
            with pytest.raises(DirectoryUnavailable) as refused:
                await find(ldap)
            assert refused.value.code == "directory_account"
        assert len(one.asked("bind")) + len(other.asked("bind")) == 1
        for _ in range(600):
            clock.advance(1)
            with pytest.raises(DirectoryUnavailable):
                await find(ldap)
        assert len(one.asked("bind")) + len(other.asked("bind")) == 2


async def test_a_new_service_password_is_tried_at_once(tmp_path: Path) -> None:
    password = "old"
    async with servers(1, tmp_path) as (server,), asking(server, secret=lambda setting: Secret(password)) as ldap:
        with pytest.raises(DirectoryUnavailable):
            await find(ldap)
        password = ldap_server.SERVICE_PASSWORD
        assert len(await find(ldap)) == 1


async def test_a_password_file_or_ca_file_that_cannot_be_read_is_told_as_unavailable(tmp_path: Path) -> None:
    def unreadable(setting: SecretSetting) -> Secret:
        raise SettingsError("no such file")

    async with servers(1, tmp_path) as (server,):
        async with asking(server, secret=unreadable) as ldap:
            with pytest.raises(DirectoryUnavailable, match="no such file"):
                await find(ldap)
        ldap = client(server.url, ca_file=str(tmp_path / "missing.pem"))
        with pytest.raises(DirectoryUnavailable, match="ca_file"):
            await find(ldap)
        (tmp_path / "empty.pem").write_text("nothing")
        ldap = client(server.url, ca_file=str(tmp_path / "empty.pem"))
        with pytest.raises(DirectoryUnavailable, match="ca_file"):
            await bind(ldap)


# --- TLS ------------------------------------------------------------------------------------------------------------------------


async def test_a_server_with_a_certificate_for_another_name_is_sent_no_password(tmp_path: Path) -> None:
    for starttls in (False, True):
        with ldap_server.running(names=("evil.test",), starttls=starttls) as server:
            async with asking(server) as ldap:
                with pytest.raises(DirectoryUnavailable, match="certificate") as refused:
                    await bind(ldap)
                assert refused.value.code == "directory_certificate"
                assert not server.asked("bind")


async def test_a_server_with_a_certificate_of_another_authority_is_sent_no_password(tmp_path: Path) -> None:
    Authority(tmp_path / "other.pem")
    for starttls in (False, True):
        with ldap_server.running(starttls=starttls) as server:
            for ca_file in (str(tmp_path / "other.pem"), None):
                ldap = client(server.url, ca_file=ca_file)
                with pytest.raises(DirectoryUnavailable, match="certificate"):
                    await bind(ldap)
                await ldap.close()
            assert not server.asked("bind")


async def test_a_replaced_ca_file_is_read_again(tmp_path: Path) -> None:
    Authority(tmp_path / "ca.pem")
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    with ldap_server.running() as server:
        ldap = client(server.url, ca_file=str(tmp_path / "ca.pem"), clock=clock)
        with pytest.raises(DirectoryUnavailable):
            await find(ldap)
        (tmp_path / "ca.pem").write_bytes(Path(server.ca_file).read_bytes())
        clock.advance(80)
        assert await find(ldap) == ()
        await ldap.close()


async def test_starttls_comes_before_everything_else(tmp_path: Path) -> None:
    async with servers(1, tmp_path, starttls=True) as (server,), asking(server) as ldap:
        assert len(await find(ldap)) == 1
        assert await bind(ldap) == Code.SUCCESS
        for number in range(1, server.connections + 1):
            own = [request for request in server.requests if request.connection == number]
            assert own[0].kind == "extended"
            assert own[0].dn == messages.START_TLS


@pytest.mark.parametrize("mood", [*BAD, Mood.ANSWER])
async def test_a_server_that_refuses_starttls_is_never_spoken_to_in_clear(mood: Mood, tmp_path: Path) -> None:
    async with servers(1, tmp_path, starttls=True) as (server,), asking(server, connect_s=0.5) as ldap:
        server.moods["extended"] = mood
        if mood is Mood.ANSWER:
            server.answer = lambda request: done(request, Code.UNAVAILABLE) if request.kind == "extended" else None
        for _ in range(3):
            with pytest.raises(DirectoryUnavailable):
                await bind(ldap, timeout_s=5)
            with pytest.raises(DirectoryUnavailable):
                await find(ldap, timeout_s=5)
        assert {request.kind for request in server.requests} <= {"extended", "unbind"}


@pytest.mark.parametrize("whole", [True, False])
async def test_starttls_injection_is_refused(whole: bool, tmp_path: Path) -> None:
    """Who sits on the wire puts an answer of his own behind the one to StartTLS, to have it taken for one that TLS protected."""
    async with servers(1, tmp_path, starttls=True) as (server,), asking(server) as ldap:
        forged = messages.message(1, ber.tlv(0x61, ldap_server.result(0)))
        server.behind_starttls = forged if whole else forged[:5]
        with pytest.raises(DirectoryUnavailable, match="in clear"):
            await bind(ldap)
        assert not server.asked("bind")


async def test_an_answer_to_a_bind_that_was_forged_before_tls_is_not_believed(tmp_path: Path) -> None:
    """The forged answer comes first, instead of the one to StartTLS."""
    async with servers(1, tmp_path, starttls=True) as (server,), asking(server) as ldap:
        server.answer = lambda request: messages.message(2, ber.tlv(0x61, ldap_server.result(0)))
        with pytest.raises(DirectoryUnavailable, match="before TLS"):
            await bind(ldap)


# --- searches -------------------------------------------------------------------------------------------------------------------


async def test_a_server_that_sends_entries_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_SEARCH_BYTES", 1_000_000)
    async with servers(1, tmp_path) as (server,), asking(server, operation_s=LONG_S) as ldap:
        await find(ldap)
        server.moods["search"] = Mood.ENDLESS
        with pytest.raises(DirectoryUnavailable) as much:
            await ldap.search(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S)
        assert much.value.code == "directory_too_much"


async def test_a_limit_is_kept_whatever_the_server_sends(tmp_path: Path) -> None:
    """Samba ignores the size limit of a request."""
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        server.entries = [(f"cn={n},{BASE}", {"cn": [str(n).encode()]}) for n in range(300)]
        assert len(await ldap.search(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S, limit=3)) == 3
        await eventually(lambda: bool(server.asked("abandon")))


async def test_a_server_that_sends_empty_pages_without_end_is_left(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        server.supported = (messages.PAGED_RESULTS,)
        more = (Control(messages.PAGED_RESULTS, False, ber.sequence(ber.integer(0), ber.octets(b"more"))),)
        server.answer = lambda request: done(request, 0, controls=more) if request.kind == "search" and request.dn else None
        for asked in (
            ldap.search(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S),
            anext(aiter(ldap.stream(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S))),
        ):
            with pytest.raises(DirectoryUnavailable, match="empty pages"):
                await asked


async def test_pages_are_read_to_their_end_and_a_stream_can_be_left(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        server.supported = (messages.PAGED_RESULTS,)

        def answer(request: Request) -> bytes | None:
            if request.kind != "search" or not request.dn:
                return None
            asked = ber.Reader(request.controls[0].value or b"").enter()
            size, at = asked.integer(), int(asked.octets() or b"0")
            page = [entry(request.message_id, f"cn={n}", {}) for n in range(at, min(1100, at + size))]
            cookie = str(at + size).encode() if at + size < 1100 else b""
            control = Control(messages.PAGED_RESULTS, False, ber.sequence(ber.integer(0), ber.octets(cookie)))
            return b"".join(page) + done(request, 0, controls=(control,))

        server.answer = answer
        found = await ldap.search(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S)
        assert [each.dn for each in found] == [f"cn={n}" for n in range(1100)]
        streamed = ldap.stream(BASE, Scope.SUBTREE, "(cn=*)", ("cn",), timeout_s=LONG_S, page=10)
        assert [(await anext(streamed)).dn for _ in range(15)] == [f"cn={n}" for n in range(15)]
        await streamed.aclose()  # type: ignore[attr-defined]
        paged = {request.connection for request in server.asked("search") if request.dn}
        await eventually(lambda: any(request.connection in paged for request in server.asked("unbind")))


async def test_references_to_other_servers_are_ignored(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:

        def answer(request: Request) -> bytes | None:
            if request.kind != "search" or not request.dn:
                return None
            away = reference(request.message_id, "ldap://evil.test/dc=acme,dc=test")
            return away + entry(request.message_id, USER, {"cn": [b"ada"]}) + away + done(request, 0)

        server.answer = answer
        assert [found.dn for found in await find(ldap)] == [USER]


async def test_a_referral_is_a_refusal(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        server.answer = lambda request: done(request, 10) if request.kind == "search" and request.dn else None
        with pytest.raises(LdapRefused) as refused:
            await find(ldap)
        assert refused.value.result.code == 10


async def test_ranged_attributes_are_completed(tmp_path: Path) -> None:
    members = [f"cn={n}".encode() for n in range(3500)]
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:

        def answer(request: Request) -> bytes | None:
            if request.kind != "search" or not request.dn:
                return None
            asked = next((name for name in request.attributes if "range=" in name), "member;range=0-*")
            first = int(asked.partition("range=")[2].partition("-")[0])
            part = members[first : first + 1500]
            last = "*" if first + 1500 >= len(members) else str(first + 1499)
            values = {"cn": [b"staff"], f"member;range={first}-{last}": part} | ({} if first else {"member": []})
            return entry(request.message_id, "cn=staff", values) + done(request, 0)

        server.answer = answer
        (found,) = await ldap.search(BASE, Scope.SUBTREE, "(cn=staff)", ("member",), timeout_s=LONG_S, limit=1)
        assert list(found.values("member")) == members
        assert found.text("cn") == "staff"


async def test_a_range_that_does_not_go_on_ends(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:

        def answer(request: Request) -> bytes | None:
            if request.kind != "search" or not request.dn:
                return None
            return entry(request.message_id, "cn=staff", {"member;range=0-1": [b"1", b"2"]}) + done(request, 0)

        server.answer = answer
        with pytest.raises(DirectoryUnavailable):
            await ldap.search(BASE, Scope.SUBTREE, "(cn=staff)", ("member",), timeout_s=LONG_S, limit=1)


async def test_many_searches_share_a_connection_and_a_slow_one_holds_up_nobody(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        await find(ldap)
        server.answer = lambda request: b"" if request.dn == "cn=slow" else None
        slow = asyncio.create_task(ldap.search("cn=slow", Scope.BASE, "(cn=*)", ("cn",), timeout_s=LONG_S))
        await eventually(lambda: any(request.dn == "cn=slow" for request in server.requests))
        await asyncio.gather(*(find(ldap) for _ in range(100)))
        assert len({request.connection for request in server.asked("search")}) <= 2
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        await eventually(lambda: bool(server.asked("abandon")))


async def test_a_search_without_an_answer_is_abandoned_and_its_connection_closed(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server, operation_s=0.3) as ldap:
        await find(ldap)
        server.answer = lambda request: b"" if request.dn == "cn=slow" else None
        with pytest.raises(DirectoryUnavailable):
            await ldap.search("cn=slow", Scope.BASE, "(cn=*)", ("cn",), timeout_s=LONG_S)
        slow = next(request for request in server.requests if request.dn == "cn=slow")
        assert slow.time_limit_s == 1
        await eventually(lambda: {"abandon", "unbind"} <= {r.kind for r in server.requests if r.connection == slow.connection})
        assert len(await find(ldap)) == 1


async def test_what_the_server_sends_for_a_search_that_was_given_up_is_dropped(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,), asking(server) as ldap:
        await find(ldap)
        late: list[Request] = []

        def answer(request: Request) -> bytes | None:
            if request.dn == "cn=late":
                late.append(request)
                return b""
            if late and request.kind == "search":
                return entry(late[0].message_id, USER, {}) + done(late.pop(), 0)
            return None

        server.answer = answer
        waiting = asyncio.create_task(ldap.search("cn=late", Scope.BASE, "(cn=*)", ("cn",), timeout_s=LONG_S))
        await eventually(lambda: bool(late))
        waiting.cancel()
        lost = asyncio.create_task(find(ldap))
        await eventually(lambda: not late)
        assert len(await find(ldap)) == 1
        lost.cancel()


# --- the age of connections -----------------------------------------------------------------------------------------------------


async def test_an_idle_connection_is_probed_and_an_old_one_replaced(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(1, tmp_path) as (server,), asking(server, clock=clock) as ldap:
        await find(ldap)
        assert not any(request.attributes == ("1.1",) for request in server.asked("search"))
        clock.advance(31)
        await find(ldap)
        assert any(request.attributes == ("1.1",) for request in server.asked("search"))
        assert server.connections == 1
        clock.advance(301)
        await find(ldap)
        assert server.connections == 2
        for _ in range(150):
            clock.advance(25)
            await find(ldap)
        assert server.connections == 3


async def test_a_connection_that_froze_while_it_was_idle_costs_no_login(tmp_path: Path) -> None:
    """A firewall between forgot it: nothing comes back, not even a reset. Probed, given up, and another one opened."""
    clock = FixedClock(datetime(2026, 11, 22, tzinfo=UTC))
    async with servers(1, tmp_path) as (server,), asking(server, clock=clock, operation_s=0.5) as ldap:
        await find(ldap)
        await bind(ldap)
        frozen = server.connections
        server.answer = lambda request: b"" if request.connection <= frozen else None
        clock.advance(31)
        assert len(await find(ldap)) == 1
        assert await bind(ldap) == Code.SUCCESS


async def test_after_closing_nobody_waits(tmp_path: Path) -> None:
    async with servers(1, tmp_path) as (server,):
        ldap = client(server.url, ca_file=server.ca_file)
        server.answer = lambda request: b"" if request.dn == BASE else None
        waiting = asyncio.create_task(find(ldap))
        await eventually(lambda: any(request.dn == BASE for request in server.requests))
        await ldap.close()
        with pytest.raises(DirectoryUnavailable):
            await waiting
        with pytest.raises(DirectoryUnavailable):
            await find(ldap)
        await eventually(lambda: server.ended == server.connections)
