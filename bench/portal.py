"""The portal under people: what a sign-in costs, and 200 who have forgotten their passwords at the same time.

    python -m bench.portal [--sign-ins 300] [--people 200] [--gateway-s 3] [--rounds 3] [--workers N] [--json]

**Sign-in.** Password (remembered, so that no hash is measured) and the code of an app, on a server on SQLite over TLS. From page
to page: from the moment at which a form is sent until the next page is there, which is a POST and the GET that it leads to. CPU
time of the server's whole process tree per such step comes from `/proc`. In the same rounds the same clients fetch a page that asks
nothing (the help), as often: the floor of TLS, HTTP server and template.

**Forgotten password.** All begin at once; each proves a text message that a gateway takes its time over and a code of an app, and
sets a new password, which is hashed for real. Every page must come, every message go out exactly once, and every new password must
be the one that holds. Told: the times of all pages (p50, p99, longest), without the wait for the gateway.

Exit code 1 when somebody got no page, a message went out twice or not at all, or the bar of the sign-in is missed.
"""

import argparse
import asyncio
import json
import re
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.processes import tree_cpu_s
from bench.report import Bar, machine, progress
from bench.wardgate_server import SECRET, Account, Running, accounts, command, install, running, ssha
from wardgate.crypto import Secret
from wardgate.factors.totp import hotp, time_step

MUST_MS = 3.0
AIM_MS = 1.5
AT_ONCE = 8
PATIENCE_S = 180.0
TRIES_OF_A_CODE_S = 150.0
NEW_PASSWORD = "a new and very long passphrase %d"
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_CODE = re.compile(r"\b(\d{6})\b")
OURS = {"sec-fetch-site": "same-origin"}


@dataclass(slots=True)
class Pages:
    """The times of pages in seconds, by what they are."""

    took: dict[str, list[float]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, seconds: float) -> None:
        """One more."""
        self.took.setdefault(name, []).append(seconds)

    def all(self) -> list[float]:
        """Every page, sorted."""
        return sorted(each for times in self.took.values() for each in times)


@dataclass(slots=True)
class Person:
    """Somebody with a browser: it follows redirects and keeps the page that it is on."""

    client: httpx.AsyncClient
    pages: Pages
    page: httpx.Response | None = None

    async def get(self, address: str, name: str = "") -> httpx.Response:
        """Open an address."""
        return await self._come(name or address, self.client.get(address))

    async def post(self, name: str, **fields: str) -> httpx.Response:
        """Send the first form of the page, with its hidden fields."""
        shown = self.page
        if shown is None:
            raise SystemExit("a form is sent from a page")
        path = urlsplit(str(shown.url)).path
        return await self._come(name, self.client.post(path, data={**hidden_fields(shown), **fields}, headers=OURS))

    async def _come(self, name: str, asked: Any) -> httpx.Response:
        began = time.perf_counter()
        reply: httpx.Response = await asked
        while reply.status_code == 303:
            reply = await self.client.get(reply.headers["location"])
        self.pages.note(name, time.perf_counter() - began)
        if reply.status_code != 200:
            self.pages.faults[f"{name}: {reply.status_code}"] += 1
            raise PageFault(f"{name}: status {reply.status_code}")
        self.page = reply
        return reply


def hidden_fields(page: httpx.Response) -> dict[str, str]:
    """Those of the first form of a page."""
    return dict(_HIDDEN.findall(page.text.split("<form ", 2)[1]))


class PageFault(Exception):
    """Somebody did not get the page that he should have."""


class Gateway:
    """A service that takes a text message and its time over it; what went where, by number."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self.texts: dict[str, list[str]] = {}
        self._came = asyncio.Condition()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = re.search(r"content-length: (\d+)", head)
                message = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                await asyncio.sleep(self._takes_s)
                async with self._came:
                    self.texts.setdefault(message["to"], []).append(message["text"])
                    self._came.notify_all()
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def code(self, number: str) -> str:
        """The code that went to a number, once it is there."""
        async with asyncio.timeout(TRIES_OF_A_CODE_S), self._came:
            await self._came.wait_for(lambda: number in self.texts)
        found = _CODE.search(self.texts[number][0])
        return found[1] if found else ""


# --- the installation ----------------------------------------------------------------------------------------------------


def make(
    data: Path, people: Sequence[Account], gateway_port: int, cheap: bool, realm: str = "reply_floor_ms: 0", more: str = ""
) -> None:
    """An installation with these people, each with an app and a phone, and one gateway. `cheap`: their hashes cost nothing.

    `realm`: a setting of the realm; without one a refusal leaves when it leaves by default. `more`: sections of the document.
    """
    install(data)
    document = f"""
realms: [{{name: default, default: true, directories: [local]{realm and f", {realm}"}}}]
directories: [{{name: local, kind: local, keep_hashes: true, verified_cache_s: 3600}}]
nas: [{{name: bench, addresses: [127.0.0.0/8], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}, {{name: portal, kind: portal}}]
gateways:
  - name: sms
    kind: http
    request: {{method: POST, url: "http://127.0.0.1:{gateway_port}/send", json: {{to: "{{number}}", text: "{{text}}"}}}}
{more}
"""
    command("config", "apply", "-", "--data", str(data), stdin=document)
    file = data.parent / "people.csv"
    kept = [ssha(each.password) if cheap else each.password for each in people]
    rows = [f"{each.name},{kept[number]},{each.totp_hex},{phone(number)}" for number, each in enumerate(people)]
    file.write_text("\n".join([f"username,{'password_hash' if cheap else 'password'},totp_secret_hex,phone", *rows, ""]))
    command("user", "import", str(file), "--silent", *(["--keep-hashes"] if cheap else []), "--data", str(data))


def phone(number: int) -> str:
    """The phone of the person of this number."""
    return f"+90532{number:07d}"


def code_of(account: Account, ahead: int = 0) -> str:
    """What the person's app shows now, or `ahead` half minutes later."""
    return hotp(Secret(bytes.fromhex(account.totp_hex)), time_step(datetime.now(UTC), 30) + ahead, 6)


def trusting(data: Path) -> ssl.SSLContext:
    """A client's context that knows the server's own certificate."""
    return ssl.create_default_context(cafile=str(data / "tls" / "cert.pem"))


def client_of(server: Running, context: ssl.SSLContext, number: int) -> httpx.AsyncClient:
    """A browser of its own, behind the proxy that the server trusts: everybody comes from somewhere else."""
    source = f"10.{number // 200}.{number % 200}.1"
    return httpx.AsyncClient(
        base_url=f"https://localhost:{server.https}",
        verify=context,
        timeout=PATIENCE_S,
        # A browser keeps its connection while its owner reads: the handshake is no part of a step.
        limits=httpx.Limits(keepalive_expiry=PATIENCE_S),
        headers={"x-forwarded-for": source},
    )


# --- sign-ins ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignIns:
    """One round. `step_ms`: CPU of the server from page to page; `page_ms`: of a page that asks nothing."""

    step_ms: float
    page_ms: float
    p50_ms: float
    p99_ms: float


async def sign_in_round(server: Running, context: ssl.SSLContext, people: Sequence[Account], ahead: int) -> SignIns:
    """Everybody signs in once, some at a time; then as many fetches of a page that asks nothing."""
    turns, pages, steps, still = asyncio.Semaphore(AT_ONCE), Pages(), Pages(), Pages()
    browsers = [Person(client_of(server, context, number), pages) for number in range(len(people))]
    await _each(turns, [each.get("/sign-in") for each in browsers])
    for each in browsers:
        each.pages = steps
    began = tree_cpu_s([server.pid])
    await _each(turns, [_signs_in(each, account, ahead) for each, account in zip(browsers, people, strict=True)])
    used = tree_cpu_s([server.pid]) - began
    for each in browsers:
        each.pages = still
    began = tree_cpu_s([server.pid])
    await _each(turns, [each.get("/help/sign-in") for each in browsers for _ in range(2)])
    floor = tree_cpu_s([server.pid]) - began
    for each in browsers:
        await each.client.aclose()
    times = steps.all()
    count = len(times)
    return SignIns(used / count * 1e3, floor / (2 * len(people)) * 1e3, _at(times, 0.5), _at(times, 0.99))


async def _signs_in(browser: Person, account: Account, ahead: int) -> None:
    await browser.post("password", username=account.name, password=account.password)
    await browser.post("code", code=code_of(account, ahead), act="answer")


async def _each(turns: asyncio.Semaphore, work: Sequence[Any]) -> None:
    async def one(task: Any) -> None:
        async with turns:
            await task

    await asyncio.gather(*(one(task) for task in work))


def _at(times: Sequence[float], part: float) -> float:
    """A quantile of sorted seconds, in milliseconds."""
    return times[min(len(times) - 1, int(len(times) * part))] * 1e3


# --- forgotten passwords -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Crowd:
    """What became of everybody."""

    people: int
    seconds: float = 0.0
    pages: Pages = field(default_factory=Pages)
    failed: list[str] = field(default_factory=list)
    twice: int = 0
    none: int = 0

    @property
    def is_right(self) -> bool:
        """Whether everybody got his pages and each message went once."""
        return not (self.failed or self.twice or self.none)


async def forgotten(server: Running, context: ssl.SSLContext, people: Sequence[Account], gateway: Gateway) -> Crowd:
    """All at once."""
    crowd = Crowd(len(people))
    began = time.perf_counter()
    journeys = [_resets(server, context, each, number, gateway, crowd) for number, each in enumerate(people)]
    await asyncio.gather(*journeys)
    crowd.seconds = time.perf_counter() - began
    await _settled(gateway, len(people))
    for number in range(len(people)):
        codes = [text for text in gateway.texts.get(phone(number), ()) if _CODE.search(text)]
        crowd.twice += len(codes) > 1
        crowd.none += not codes
    return crowd


async def _settled(gateway: Gateway, people: int) -> None:
    """Until the word of what was done has reached everybody, or a while has passed."""
    until = time.monotonic() + TRIES_OF_A_CODE_S
    while time.monotonic() < until and sum(map(len, gateway.texts.values())) < 2 * people:
        await asyncio.sleep(0.2)


async def _resets(server: Running, context: ssl.SSLContext, account: Account, number: int, gateway: Gateway, crowd: Crowd) -> None:
    new = NEW_PASSWORD % number
    async with client_of(server, context, number) as client:
        person = Person(client, crowd.pages)
        try:
            await person.get("/forgot")
            await person.post("name", username=account.name)
            await person.post("choose a text message", method="sms", act="choose")
            await person.post("its code", code=await gateway.code(phone(number)), act="answer")
            await person.post("choose the app", method="totp", act="choose")
            await person.post("the app's code", code=code_of(account), act="answer")
            await person.post("new password", new_password=new, act="password")
            await person.get("/sign-in")
            await person.post("sign in anew", username=account.name, password=new)
        except (PageFault, httpx.HTTPError, TimeoutError) as error:
            crowd.failed.append(f"{account.name}: {type(error).__name__} {error}")


# --- the run -------------------------------------------------------------------------------------------------------------


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both parts, on a server of their own each."""
    gateway = Gateway(options.gateway_s)
    async with gateway.serving() as port:
        rounds = await _measure_sign_ins(options, port)
        crowd = await _measure_crowd(options, port, gateway)
    step = statistics.median(each.step_ms for each in rounds)
    page = statistics.median(each.page_ms for each in rounds)
    bar = Bar("portal sign-in, page to page, CPU without the hash", step, MUST_MS, AIM_MS, " ms", least=False)
    times = crowd.pages.all()
    return {
        "machine": machine(),
        "sign_in": {
            "cpu_ms_page_to_page": round(step, 2),
            "cpu_ms_page_that_asks_nothing": round(page, 2),
            "ratio": round(step / page, 2),
            "p50_ms": round(statistics.median(each.p50_ms for each in rounds), 1),
            "p99_ms": round(statistics.median(each.p99_ms for each in rounds), 1),
        },
        "forgotten": {
            "people": crowd.people,
            "seconds": round(crowd.seconds, 1),
            "pages": len(times),
            "p50_ms": round(_at(times, 0.5), 1),
            "p99_ms": round(_at(times, 0.99), 1),
            "longest_ms": round(times[-1] * 1e3, 1),
            "by_page_p99_ms": {name: round(_at(sorted(took), 0.99), 1) for name, took in crowd.pages.took.items()},
            "failed": len(crowd.failed),
            "failures": crowd.failed[:10],
            "messages_twice": crowd.twice,
            "messages_missing": crowd.none,
        },
        "bar": {"must_ms": MUST_MS, "aim_ms": AIM_MS, "verdict": bar.verdict},
        "sound": crowd.is_right,
    }


async def _measure_sign_ins(options: argparse.Namespace, port: int) -> list[SignIns]:
    people = accounts(options.sign_ins, "person")
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder:
        data = Path(folder) / "data"
        await asyncio.to_thread(make, data, people, port, True)
        with running(data, cheap_hash=True, workers=options.workers, proxied=True) as server:
            context = trusting(data)
            rounds = []
            for number in range(options.rounds + 1):
                # Each step of time counts once for each person: the first round, which also fills the cache, is not counted.
                await _next_half_minute() if number else None
                took = await sign_in_round(server, context, people, 0)
                progress(f"sign-in: {took.step_ms:.2f} ms CPU from page to page, {took.page_ms:.2f} ms a page that asks nothing")
                rounds.append(took)
            return rounds[1:] or rounds


async def _next_half_minute() -> None:
    await asyncio.sleep(30.5 - datetime.now(UTC).timestamp() % 30)


async def _measure_crowd(options: argparse.Namespace, port: int, gateway: Gateway) -> Crowd:
    people = accounts(options.people, "crowd")
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as folder:
        data = Path(folder) / "data"
        await asyncio.to_thread(make, data, people, port, False)
        with running(data, workers=options.workers, proxied=True) as server:
            return await forgotten(server, trusting(data), people, gateway)


def show(told: dict[str, Any]) -> None:
    """For people."""
    sign_in, crowd, bar = told["sign_in"], told["forgotten"], told["bar"]
    print(
        f"Sign-in, from page to page: {sign_in['cpu_ms_page_to_page']} ms CPU (must {bar['must_ms']}, aim {bar['aim_ms']}): ",
        end="",
    )
    print(f"{bar['verdict']}; {sign_in['ratio']}x a page that asks nothing; p50 {sign_in['p50_ms']} ms, p99 {sign_in['p99_ms']} ms")
    print(f"Forgotten password, {crowd['people']} at once: {crowd['pages']} pages in {crowd['seconds']} s, ", end="")
    print(f"p50 {crowd['p50_ms']} ms, p99 {crowd['p99_ms']} ms, longest {crowd['longest_ms']} ms")
    for name, took in crowd["by_page_p99_ms"].items():
        print(f"  {name}: p99 {took} ms")
    print(f"Messages twice: {crowd['messages_twice']}, missing: {crowd['messages_missing']}")
    print(f"People who failed: {crowd['failed']}")
    for each in crowd["failures"]:
        print(f"  {each}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sign-ins", type=int, default=300, help="people who sign in, in each round")
    parser.add_argument("--people", type=int, default=200, help="people who have forgotten their passwords")
    parser.add_argument("--gateway-s", type=float, default=3.0, help="how long the gateway takes over a message")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of sign-ins that count; 0: the first alone")
    parser.add_argument("--workers", type=int, default=None, help="workers of the server; default: as many as it takes by itself")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    told = asyncio.run(measure(options))
    print(json.dumps(told, indent=2)) if options.json else show(told)
    return 0 if told["sound"] and told["bar"]["verdict"] != "NOT MET" else 1


if __name__ == "__main__":
    sys.exit(main())
