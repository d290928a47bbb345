"""Whether the time of a page tells who exists: the sign-in form and the pages of a forgotten password, judged by a classifier.

    python -m bench.portal_timing [--samples 200] [--json]

Over real HTTPS, with the realm's floor at its default, by browsers that each come from somewhere else and ask about a name that
nobody else asks about, so that no brake speaks. What is compared is shuffled and sent at a steady pace.

**Sign-in**: a name that does not exist, a wrong password, and accounts that are disabled or locked, with their right password.
**Forgotten password**: somebody who exists and has an app and a phone, and nobody. Each goes the same way until his first proof
is refused: the name, the choice of a text message, a wrong code, and the pages between them, whose time no floor holds back.

For each of these two classifiers try to tell every pair apart, by the time itself and by its distance from the middle. An AUC is
0.5 when they are blind; the bar is 0.55, or what chance alone reaches once in some thousands of runs with so few samples. The
medians of what is held back may differ by 5 %. Exit code 1 when the bar is missed. Run it on a machine that does nothing else.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import ssl
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from bench import wardgate_server
from bench.portal import OURS, Gateway, client_of, hidden_fields, make, trusting
from bench.report import progress
from bench.timing import BAR, auc
from bench.wardgate_server import Account, Running
from wardgate.cli.performing import Performer

# One begins in this time, of which a password check takes a part, so that nobody waits for somebody else's; and on a slow machine
# only so many are under way.
PACE_S = 0.1
AT_ONCE = 4
GATEWAY_S = 0.2
MOST_APART = 0.05
NO_MATTER = 1e6
# Standard errors of an AUC, which is judged in two ways for each pair.
CHANCE = 4.0
WRONG_CODE = "000000"
NO_BRAKES = "network_failures: 0, nas_failures: 0, global_failures: 0, network_messages: 0, nas_messages: 0, global_messages: 0"
SIGN_IN = "POST /sign-in"
NAME, CHOICE, CHOSEN, PROOF, PROVED = (*("POST /forgot", "page of ways", "POST a way", "page of the code", "POST a wrong code"),)
# Those that the realm's floor holds back.
HELD_BACK = (SIGN_IN, NAME, CHOSEN, PROVED)

Seen = dict[str, dict[str, list[float]]]
"""Milliseconds, by what was asked and of what kind the one was who was asked about."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One question. `apart`: by how much the furthest medians differ; `auc`: the best that a classifier did, and its `bar`."""

    samples: int
    median_ms: dict[str, float]
    earliest_ms: float
    apart: float
    may_be_apart: float
    auc: float
    bar: float
    best: str

    @property
    def holds(self) -> bool:
        """Whether nobody can be told from anybody."""
        return self.auc <= self.bar and self.apart <= self.may_be_apart


@dataclass(frozen=True, slots=True)
class Somebody:
    """One browser and whom it asks about."""

    kind: str
    name: str
    password: str
    client: httpx.AsyncClient


def judge(what: str, times: dict[str, list[float]]) -> Judged:
    """Every pair of kinds, by both classifiers. The medians of what no floor holds back are some milliseconds, and only noise."""
    middle = statistics.median(took for values in times.values() for took in values)
    aucs: dict[str, float] = {}
    for one, other in itertools.combinations(sorted(times), 2):
        aucs[f"{one} or {other}, by time"] = auc(times[one], times[other])
        far = [[abs(took - middle) for took in times[kind]] for kind in (one, other)]
        aucs[f"{one} or {other}, by distance from the middle"] = auc(*far)
    few = min(map(len, times.values()))
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    best = max(aucs, key=aucs.__getitem__)
    return Judged(
        samples=few,
        median_ms=medians,
        earliest_ms=min(map(min, times.values())),
        apart=max(medians.values()) / min(medians.values()) - 1,
        may_be_apart=MOST_APART if what in HELD_BACK else NO_MATTER,
        auc=aucs[best],
        bar=max(BAR, 0.5 + CHANCE * by_chance(few)),
        best=best,
    )


def by_chance(samples: int) -> float:
    """The standard error of the AUC of two kinds of so many samples each that do not differ."""
    return float(((2 * samples + 1) / (12 * samples * samples)) ** 0.5)


# --- asking --------------------------------------------------------------------------------------------------------------


class Asker:
    """Asks, and notes how long each page took."""

    def __init__(self) -> None:
        self.seen: Seen = defaultdict(lambda: defaultdict(list))

    async def signs_in(self, one: Somebody) -> None:
        """To be refused."""
        page = await one.client.get("/sign-in")
        await self._posts(SIGN_IN, one, page, "/sign-in", 422, username=one.name, password=one.password)

    async def forgets(self, one: Somebody) -> None:
        """Until the first proof is refused."""
        page = await one.client.get("/forgot")
        sent = await self._posts(NAME, one, page, "/forgot", 303, username=one.name)
        place = sent.headers["location"]
        ways = await self._gets(CHOICE, one, place)
        await self._posts(CHOSEN, one, ways, place, 303, method="sms", act="choose")
        asked = await self._gets(PROOF, one, place)
        await self._posts(PROVED, one, asked, place, 422, code=WRONG_CODE, act="answer")

    async def _posts(
        self, what: str, one: Somebody, page: httpx.Response, place: str, status: int, **fields: str
    ) -> httpx.Response:
        form = {**hidden_fields(page), **fields}
        return await self._timed(what, one, lambda: one.client.post(place, data=form, headers=OURS), status)

    async def _gets(self, what: str, one: Somebody, place: str) -> httpx.Response:
        return await self._timed(what, one, lambda: one.client.get(place), 200)

    async def _timed(self, what: str, one: Somebody, ask: Callable[[], Awaitable[httpx.Response]], status: int) -> httpx.Response:
        began = time.perf_counter()
        reply = await ask()
        took = time.perf_counter() - began
        if reply.status_code != status:
            raise UnfitReply(f"{what}: {one.kind} got status {reply.status_code} and not {status}")
        self.seen[what][one.kind].append(took * 1e3)
        return reply


async def _paced(work: Callable[[Somebody], Awaitable[None]], people: Sequence[Somebody]) -> None:
    """One after the other begins, in an order that nobody can foretell."""
    order = list(people)
    random.SystemRandom().shuffle(order)
    turns = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for one in order:
            await turns.acquire()
            asked = group.create_task(_asked(work, one))
            asked.add_done_callback(lambda _: turns.release())
            await asyncio.sleep(PACE_S)


async def _asked(work: Callable[[Somebody], Awaitable[None]], one: Somebody) -> None:
    async with one.client:
        await work(one)


class UnfitReply(Exception):
    """Not the reply that everybody gets: what follows from its time would be worth nothing."""


# --- the run -------------------------------------------------------------------------------------------------------------


def configured(data: Path, people: dict[str, Sequence[Account]], gateway_port: int) -> None:
    """An installation with these people, some of whom are disabled or locked, and without brakes over many of them."""
    known = [each for group in people.values() for each in group]
    make(data, known, gateway_port, True, realm="", more=f"brakes: {{{NO_BRAKES}}}")
    with Performer(data) as performer:
        for kind, change in (("disabled", "user.disable"), ("locked", "user.lock")):
            for each in people[kind]:
                performer.do(change, {"name": each.name})


async def measure(samples: int) -> dict[str, Judged]:
    """Everything that is asked, judged."""
    kinds = ("wrong", "disabled", "locked", "somebody")
    people: dict[str, Sequence[Account]] = {kind: wardgate_server.accounts(samples, kind) for kind in kinds}
    gateway = Gateway(GATEWAY_S)
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as place:
        data = Path(place) / "data"
        async with gateway.serving() as port:
            progress(f"importing {samples * len(kinds)} users")
            await asyncio.to_thread(configured, data, people, port)
            with wardgate_server.running(data, proxied=True) as server:
                return await _asked_all(server, trusting(data), people)


async def _asked_all(server: Running, context: ssl.SSLContext, people: dict[str, Sequence[Account]]) -> dict[str, Judged]:
    samples, sources = len(people["wrong"]), itertools.count()

    def one(kind: str, name: str, password: str) -> Somebody:
        return Somebody(kind, name, password, client_of(server, context, next(sources)))

    for part, work in (("a few that do not count", Asker()), ("what counts", asker := Asker())):
        some = samples if work is asker else min(5, samples)
        progress(f"sign-in: {part}")
        tag = "none" if work is asker else "warm"
        signing = [one("unknown", f"{tag}{number:06d}", "pw-nobody") for number in range(some)]
        if work is asker:
            signing += [one("wrong", each.name, "x" + each.password) for each in people["wrong"]]
            signing += [one(kind, each.name, each.password) for kind in ("disabled", "locked") for each in people[kind]]
        await _paced(work.signs_in, signing)
        progress(f"forgotten password: {part}")
        forgetting = [one("nobody", f"{tag}body{number:06d}", "") for number in range(some)]
        if work is asker:
            forgetting += [one("somebody", each.name, "") for each in people["somebody"]]
        await _paced(work.forgets, forgetting)
    return {what: judge(what, times) for what, times in asker.seen.items()}


def show(told: dict[str, Judged]) -> None:
    """For people."""
    print(f"load {os.getloadavg()[0]:.1f}")
    for what, each in told.items():
        print(f"{what}: {'held' if each.holds else 'TELLS'}; AUC {each.auc:.3f} ({each.best}), the bar is {each.bar:.3f};")
        medians = ", ".join(f"{kind} {median:.1f}" for kind, median in sorted(each.median_ms.items()))
        print(f"  medians of {each.samples}, ms: {medians}; {each.apart:.1%} apart; earliest after {each.earliest_ms:.1f} ms")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, and judge them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.portal_timing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200, help="of each kind (default 200: three minutes)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    given = parser.parse_args(arguments)
    try:
        told = asyncio.run(measure(max(5, given.samples)))
    except* UnfitReply as unfit:
        raise SystemExit(f"{unfit.exceptions[0]}") from unfit
    if given.json:
        print(json.dumps({"load": os.getloadavg()[0], "asked": {what: asdict(each) for what, each in told.items()}}))
    else:
        show(told)
    return 0 if all(each.holds for each in told.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
