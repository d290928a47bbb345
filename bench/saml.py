"""What SAML's protocol costs: an AuthnRequest parsed and its signed Response built, beside what signing alone costs, in one run.

    python -m bench.saml [--rounds 7] [--answers 300] [--json]

No door around it: no HTTP, session, policy, claims, storage or audit. A request comes by Redirect, is unpacked, parsed and checked
(and its signature verified, where the row says so); a Response with five attributes and seven values is built, signed, encrypted
where the row says so, and packed as the browser's form. CPU time of one process, slices alternate, the middle of the rounds. The
floor is `openssl speed` in the same run; `cryptography` brings an OpenSSL of its own. Exit code 1 when the bar is not met.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bench.report import Bar, machine
from tests.saml import ACS, ARRIVAL, CONTENT, SSO_URL, authn_request, pair, signer
from wardgate.federation.saml import bindings, building, requests, signing
from wardgate.federation.saml.requests import open_message
from wardgate.federation.saml.values import Attribute, Encrypt, ResponseSettings, Sign, Signer

MUST_MS = 0.6
AIM_MS = 0.45
"""Of the whole answer's 2 ms and 1 ms, which the door, session, policy and audit share."""
BARRED = "RSA-2048, assertion signed"
ATTRIBUTES = (
    Attribute("mail", ("ada@acme.test",), "E-mail"),
    Attribute("givenName", ("Ada",)),
    Attribute("sn", ("Lovelace",)),
    Attribute("department", ("Research & Development",)),
    Attribute("groups", ("staff", "wiki-editors", "ığüşöç")),
)
OPENSSL_SECONDS = 1
SPEED_KEYS = {"rsa2048": "+F2:", "ecdsap256": "+F4:"}


@dataclass(slots=True)
class Work:
    """One kind of work, and milliseconds of CPU for each time it was done, round by round. `floor` names the row it stands on."""

    label: str
    do: Callable[[], object]
    floor: str = ""
    rounds: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return statistics.median(self.rounds)


def answer(query: bytes, certificates: Sequence[bytes], settings: ResponseSettings, by: Signer) -> Callable[[], object]:
    """From the query to the form that goes back."""

    def once() -> bindings.Form:
        received = bindings.read_redirect(query)
        asked = requests.authn_request(open_message(received), certificates, ARRIVAL)
        content = replace(CONTENT, in_response_to=asked.id, attributes=ATTRIBUTES)
        return bindings.post_form(ACS, bindings.RESPONSE, building.response(content, settings, by), received.relay_state)

    return once


def works() -> list[Work]:
    """Everything that is measured."""
    document, theirs = authn_request(), pair("rsa", "sp")
    plain = bindings.redirect_url(SSO_URL, bindings.REQUEST, document, "state", None).partition("?")[2].encode()
    signed = bindings.redirect_url(SSO_URL, bindings.REQUEST, document, "state", theirs.signer).partition("?")[2].encode()
    encrypted = ResponseSettings(encrypt=Encrypt.AES256_GCM, encryption_certificate=theirs.certificate)
    data = building.assertion(CONTENT).encode()
    found = [
        Work("request by Redirect, read", lambda: requests.authn_request(open_message(bindings.read_redirect(plain)), (), ARRIVAL))
    ]
    for name, kind in (("RSA-2048", "rsa"), ("P-256", "p256")):
        by, alone = signer(kind), f"{name}, `cryptography` signs"
        found += [
            Work(alone, lambda by=by: signing.raw_signature(by, data)),  # type: ignore[misc]
            Work(f"{name}, assertion signed", answer(plain, (), ResponseSettings(), by), alone),
            Work(f"{name}, signed request", answer(signed, (theirs.certificate,), ResponseSettings(), by), alone),
            Work(f"{name}, assertion and response signed", answer(plain, (), ResponseSettings(Sign.BOTH), by), alone),
            Work(f"{name}, assertion signed and encrypted", answer(plain, (), encrypted, by), alone),
        ]
    return found


def measure(found: Sequence[Work], rounds: int, answers: int) -> None:
    """Alternate, after each was done a few times."""
    for work in found:
        _cost(work, min(20, answers))
    for _ in range(rounds):
        for work in found:
            work.rounds.append(_cost(work, answers))


def _cost(work: Work, times: int) -> float:
    do, began = work.do, time.process_time()
    for _ in range(times):
        do()
    return (time.process_time() - began) / times * 1e3


def openssl_ms() -> dict[str, float]:
    """Milliseconds for a signature by `openssl speed`; nothing where there is no openssl."""
    program = shutil.which("openssl")
    if program is None:
        return {}
    command = [program, "speed", "-mr", "-seconds", str(OPENSSL_SECONDS), *SPEED_KEYS]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout.splitlines()
    return {
        key: 1e3 / float(line.split(":")[3])
        for key, mark in SPEED_KEYS.items()
        for line in lines
        if line.startswith(mark) and float(line.split(":")[3]) > 0
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the figures, and judge them."""
    given = _parser().parse_args(arguments)
    found = works()
    floor = openssl_ms()
    measure(found, given.rounds, given.answers)
    by_label = {work.label: work for work in found}
    bar = Bar(BARRED, by_label[BARRED].ms, MUST_MS, AIM_MS, " ms", least=False)
    if given.json:
        figures = {work.label: {"ms": round(work.ms, 4), "rounds_ms": work.rounds} for work in found}
        print(json.dumps({"machine": machine(), "openssl_ms": floor, "cpu": figures, "verdict": bar.verdict}))
    else:
        for key, value in floor.items():
            print(f"{'openssl speed ' + key:46} {value:7.3f} ms")
        for work in found:
            times = f"  {work.ms / by_label[work.floor].ms:5.2f} times the signature" if work.floor else ""
            print(f"{work.label:46} {work.ms:7.3f} ms{times}")
        work_name, value_, must, aim, verdict, _ = bar.cells()
        print(f"{work_name}: {value_}, must {must}, aim {aim}: {verdict}")
    return 1 if bar.verdict == "NOT MET" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.saml", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="slices of each kind, alternating (default 7)")
    parser.add_argument("--answers", type=int, default=300, help="times in a slice (default 300)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
