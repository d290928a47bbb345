"""`wardgate simulate ...`: plays a NAS. What it does is in `wardgate.simulator`."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wardgate.cli.inputs import is_interactive, line_from_terminal, read_text, secret_from_stdin
from wardgate.cli.options import DEFAULT_DATA, Data, Json, example, group
from wardgate.cli.output import EXIT_DONE, EXIT_REFUSED, EXIT_UNAVAILABLE, emit, say
from wardgate.errors import ServerUnavailable, UsageError, WardgateError

if TYPE_CHECKING:
    from wardgate.simulator.codes import Outbox
    from wardgate.simulator.line import Exchange, Line, Server
    from wardgate.simulator.login import Answer, Gateway, Login
    from wardgate.simulator.nas import SimulatedNas
    from wardgate.simulator.transcript import Silent, Transcript

MAX_SCRIPT_BYTES: Final = 1024 * 1024
DEFAULT_TIMEOUT_S: Final = 3.0
DEFAULT_RETRANSMIT: Final = 2
DEFAULT_PORT: Final = 1812
MAX_CODE_BYTES: Final = 256
EXPLAIN_TRIES: Final = 20
EXPLAIN_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says, but for the device."""

    user: str | None
    data: Path
    password: str | None = field(repr=False)
    password_stdin: bool
    server: str | None
    secret_stdin: bool
    retransmit: int
    timeout_s: float
    codes: tuple[str, ...] = field(repr=False)
    auto: bool
    script: Path | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the server: everything about a demo, little about any other."""

    server: "Server"
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outbox: "Outbox | None" = None
    explain: Callable[[str], str | None] = lambda reference: None


app = group("Play a NAS against a running server, over real UDP.")

User = Annotated[str | None, typer.Option("--user", help="Who logs in.")]
Password = Annotated[str | None, typer.Option(help="The password. Others on this machine can see it here. A demo's is known.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input (after the secret, if that is read too).")
]
ServerAddress = Annotated[
    str | None,
    typer.Option("--server", help="HOST:PORT of the server. Default: the demo that runs on --data.", metavar="HOST:PORT"),
]
SecretStdin = Annotated[bool, typer.Option("--secret-stdin", help="Read the shared secret from the first line of standard input.")]
NasIdentifier = Annotated[str | None, typer.Option(help="NAS-Identifier; on PAN-OS the authentication profile's name.")]
ClientIp = Annotated[str | None, typer.Option(help="The user's own address, as the NAS tells it; empty: not told.")]
NoMessageAuthenticator = Annotated[
    bool, typer.Option("--no-message-authenticator", help="Send none, as PAN-OS did before the fix of CVE-2024-3596.")
]
ChapFirst = Annotated[bool, typer.Option("--chap-first", help="Try CHAP before PAP, as PAN-OS up to 7.1 does.")]
Retransmit = Annotated[
    int, typer.Option(min=0, max=10, help="Send a request so often again when no reply comes. PAN-OS: two times.")
]
Timeout = Annotated[float, typer.Option(min=0.1, max=120, help="Seconds to wait after each sending. PAN-OS: 3.")]
Auto = Annotated[bool, typer.Option("--auto", help="Take the codes of a demo user from where the demo keeps them; ask nobody.")]
Codes = Annotated[list[str] | None, typer.Option("--code", help="What to type at the challenges, in order; then it asks.")]
ScriptFile = Annotated[
    Path | None,
    typer.Option(
        "--script", help="YAML file with steps to play unattended; - is standard input. Format: see below.", metavar="FILE"
    ),
]

_LINK_HELP: Final = """\b
Where the window leads to a page (page_link, enrol_by_link), the link is shown, that of a
demo's message too: open it in a browser, and type the code that comes of it.
"""

_SCRIPT_HELP: Final = """\b
A script:
  steps:
    - send: {user: ada, password: "correct horse"}
      expect: challenge         # challenge, accept, reject, accounting_response or nothing
      contains: code from your app
    - send: {code: {totp: 3132333435363738393031323334353637383930}}
      expect: accept
      attributes: {PaloAlto-User-Group: vpn-users}
      within_s: 2
\b
  send: user, password; code: TEXT, {totp: HEX, digits, period_s, algorithm, shift_steps},
  {hotp: HEX, counter}, {outbox: sms}, {outbox: email}, or of a demo {demo: totp},
  {demo: hotp}, {demo: recovery_code}; separator, code_first (password and code in one
  field); state: auto, none or a step's number; chap; kind: access, status, accounting;
  message_authenticator: first, last, none; nas_identifier; client_ip; attributes;
  copies (the same packet so often); after_s.
  Beside steps: timeout_s, retransmit, outbox: {url, ca_file}.
\b
Exit codes: 0 accepted (script: all as expected), 1 rejected or something would break,
2 wrong usage, 3 no reply.
"""


def _epilog(*lines: str) -> str:
    return f"{_LINK_HELP}{_SCRIPT_HELP}\n{example(*lines)}"


@app.command(
    epilog=_epilog(
        "wardgate simulate paloalto --user ada",
        "wardgate simulate paloalto --user ada --auto --cookie",
        'printf \'%s\\n%s\\n\' "$SECRET" "$PASSWORD" | '
        "wardgate simulate paloalto --server 10.0.0.5:1812 --secret-stdin --user ada --password-stdin",
        "wardgate simulate paloalto --script logins.yaml --json",
    )
)
def paloalto(
    user: User = None,
    data: Data = DEFAULT_DATA,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    server: ServerAddress = None,
    secret_stdin: SecretStdin = False,
    nas_identifier: NasIdentifier = "GlobalProtect",
    client_ip: ClientIp = "203.0.113.7",
    cookie: Annotated[
        bool, typer.Option("--cookie", help="The gateway takes the portal's authentication override cookie: one login in all.")
    ] = False,
    hand_over: Annotated[
        bool, typer.Option("--hand-over", help="The server is to take the portal's code once more at the gateway (hand_over_s).")
    ] = False,
    no_message_authenticator: NoMessageAuthenticator = False,
    chap_first: ChapFirst = False,
    retransmit: Retransmit = DEFAULT_RETRANSMIT,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    code: Codes = None,
    auto: Auto = False,
    script: ScriptFile = None,
    as_json: Json = False,
) -> None:
    """Log in as GlobalProtect does it: at the portal, then at the gateway with the portal's credentials, then anew.

    Prints every packet with its duration, and complains where a challenge would break the app.
    """
    from wardgate.simulator.nas import SimulatedNas, client_address

    nas = SimulatedNas(
        vendor="paloalto",
        identifier=nas_identifier or None,
        client_ip=client_address(client_ip),
        message_authenticator="none" if no_message_authenticator else "first",
        chap_first=chap_first,
    )
    given = Given(user, data, password, password_stdin, server, secret_stdin, retransmit, timeout, tuple(code or ()), auto, script)
    if cookie and hand_over:
        raise UsageError("either --cookie or --hand-over")
    gateway: Gateway = "cookie" if cookie else "hand_over" if hand_over else "asks"
    _finish(given, asyncio.run(_play(given, nas, gateway, as_json)), as_json)


@app.command(
    epilog=_epilog(
        "wardgate simulate generic --user bob --auto",
        "wardgate simulate generic --script smoke.yaml --data var",
    )
)
def generic(
    user: User = None,
    data: Data = DEFAULT_DATA,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    server: ServerAddress = None,
    secret_stdin: SecretStdin = False,
    nas_identifier: NasIdentifier = "wardgate-simulate",
    client_ip: ClientIp = "203.0.113.7",
    no_message_authenticator: NoMessageAuthenticator = False,
    chap_first: ChapFirst = False,
    retransmit: Retransmit = DEFAULT_RETRANSMIT,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    code: Codes = None,
    auto: Auto = False,
    script: ScriptFile = None,
    as_json: Json = False,
) -> None:
    """Log in once, as any NAS that shows challenges does it."""
    from wardgate.simulator.nas import SimulatedNas, client_address

    nas = SimulatedNas(
        identifier=nas_identifier or None,
        client_ip=client_address(client_ip),
        message_authenticator="none" if no_message_authenticator else "first",
        chap_first=chap_first,
    )
    given = Given(user, data, password, password_stdin, server, secret_stdin, retransmit, timeout, tuple(code or ()), auto, script)
    _finish(given, asyncio.run(_play(given, nas, None, as_json)), as_json)


# --- playing -----------------------------------------------------------------------------------------------------------


async def _play(given: Given, nas: "SimulatedNas", gateway: "Gateway | None", as_json: bool) -> dict[str, Any]:
    """Play what was asked for and tell it as one object. `gateway` is None for a device that is no GlobalProtect."""
    from wardgate.simulator.line import Line
    from wardgate.simulator.transcript import Silent, Transcript

    known = _known(given)
    report = Silent() if as_json else Transcript(sys.stdout, sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    if given.script is not None:
        return await _play_script(given, nas, known, report)
    if given.user is None:
        raise UsageError("give --user NAME, or --script FILE")
    line = Line(known.server, given.timeout_s, given.retransmit, report)
    return await _play_logins(given, given.user, nas, known, report, gateway, line)


async def _play_script(given: Given, nas: "SimulatedNas", known: Known, report: "Transcript | Silent") -> dict[str, Any]:
    from wardgate.simulator.codes import Outbox
    from wardgate.simulator.line import Line
    from wardgate.simulator.script import parse_script
    from wardgate.simulator.scripted import ScriptPlayer

    script = parse_script(read_text(given.script or Path("-"), MAX_SCRIPT_BYTES))
    timeout_s = given.timeout_s if script.timeout_s is None else script.timeout_s
    retransmit = given.retransmit if script.retransmit is None else script.retransmit
    outbox = Outbox(script.outbox.url, script.outbox.ca_file) if script.outbox else known.outbox
    async with Line(known.server, timeout_s, retransmit, report) as line:
        results = await ScriptPlayer(nas, line, report, outbox, known.users).play(script)
    return {
        "ok": not results[-1].problems,
        "server": known.server.name,
        "steps": [{**asdict(result), "problems": list(result.problems)} for result in results],
        "steps_in_script": len(script.steps),
    }


async def _play_logins(
    given: Given,
    user: str,
    nas: "SimulatedNas",
    known: Known,
    report: "Transcript | Silent",
    gateway: "Gateway | None",
    line: "Line",
) -> dict[str, Any]:
    from wardgate.simulator.login import Device, Person, overall

    person = Person(user, _password(given, known), _answers(given, known, report))
    async with line:
        device = Device(nas, line, report, known.explain)
        logins = [await device.log_in("login", person)] if gateway is None else await device.log_in_globalprotect(person, gateway)
    return {
        "outcome": overall(logins).value,
        "server": known.server.name,
        "user": user,
        "logins": [_told(login) for login in logins],
        "complaints": list(device.complaints),
    }


def _told(login: "Login") -> dict[str, Any]:
    return {
        "at": login.at,
        "outcome": login.outcome.value,
        "expected": login.expected,
        "message": login.message,
        "reason": login.reason,
        "exchanges": [_told_exchange(exchange) for exchange in login.exchanges],
    }


def _told_exchange(exchange: "Exchange") -> dict[str, Any]:
    from wardgate.radius.describe import describe

    reply = exchange.reply
    attributes: dict[str, list[str]] = {}
    for name, value in describe(reply) if reply else ():
        attributes.setdefault(name, []).append(value)
    return {
        "sent": exchange.request.code.name.lower(),
        "identifier": exchange.request.identifier,
        "octets": len(exchange.request.raw),
        "sendings": exchange.sendings,
        "received": reply.code.name.lower() if reply else None,
        "took_ms": round(exchange.took_s * 1000, 1),
        "attributes": attributes,
    }


def _finish(given: Given, result: dict[str, Any], as_json: bool) -> None:
    emit(result, as_json, _show_steps if given.script is not None else _show_outcome)
    raise typer.Exit(_exit_code(result))


def _exit_code(result: Mapping[str, Any]) -> int:
    if "steps" in result:
        last = result["steps"][-1]
        silent = last["got"] == "nothing" and last["problems"]
        return EXIT_DONE if result["ok"] else EXIT_UNAVAILABLE if silent else EXIT_REFUSED
    if result["outcome"] == "no_reply":
        return EXIT_UNAVAILABLE
    return EXIT_DONE if result["outcome"] == "accept" and not result["complaints"] else EXIT_REFUSED


def _show_outcome(result: Mapping[str, Any]) -> None:
    last = result["logins"][-1]
    words = {"accept": "was let in", "reject": "was refused", "no_reply": "got no answer"}[result["outcome"]]
    message = f": {last['message']}" if last["message"] else ""
    say(f"{result['user']} {words} ({last['at']}){message}")
    for complaint in result["complaints"]:
        say(f"problem: {complaint}")


def _show_steps(result: Mapping[str, Any]) -> None:
    for step in result["steps"]:
        name = f" ({step['name']})" if step["name"] else ""
        say(f"step {step['number']}{name}: {'; '.join(step['problems']) or step['got']}, {step['took_ms']:.1f} ms")
    left = result["steps_in_script"] - len(result["steps"])
    say("All went as expected." if result["ok"] else f"Stopped here{f'; {left} steps were not played' if left else ''}.")


# --- what is known -----------------------------------------------------------------------------------------------------


def _known(given: Given) -> Known:
    """The server that was named, or the demo that runs on the data directory."""
    from wardgate.crypto import Secret
    from wardgate.simulator.codes import Outbox
    from wardgate.simulator.line import Server

    if given.server is not None:
        if not given.secret_stdin:
            raise UsageError("--server needs the shared secret: give --secret-stdin")
        host, port = _address(given.server)
        return Known(Server(host, port, Secret(secret_from_stdin("shared secret"))))
    if given.secret_stdin:
        raise UsageError("--secret-stdin goes with --server; a demo's secret is known")
    told = _demo(given.data)
    radius = told["radius"]
    return Known(
        Server(radius["host"], radius["port"], Secret(radius["secret"])),
        {user["name"]: user for user in told["users"]},
        Outbox(told["outbox_url"], told["https"]["ca_file"]),
        lambda reference: _explain(given.data, reference),
    )


def _address(text: str) -> tuple[str, int]:
    """`10.0.0.5:1812`, `10.0.0.5`, `[2001:db8::5]:1812` or `2001:db8::5`."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text[:64]!r} is not HOST:PORT, such as 10.0.0.5:1812 or [2001:db8::5]:1812")
    return host, int(port)


def _demo(data: Path) -> dict[str, Any]:
    from wardgate.control import NoServer, call

    try:
        return call(data, "demo.describe", {})
    except NoServer as error:
        raise ServerUnavailable(
            f"no demo runs on {data}: start one with wardgate demo, or name a server with --server HOST:PORT --secret-stdin"
        ) from error


def _explain(data: Path, reference: str) -> str | None:
    """Why the login of this reference was refused; it is stored a moment after the reply left."""
    from wardgate.control import call

    for _ in range(EXPLAIN_TRIES):
        try:
            entries = call(data, "trace.reference", {"reference": reference})["entries"]
        except WardgateError:
            entries = []
        reasons = [entry["reason"] for entry in entries if entry["result"] == "denied"]
        if reasons:
            return str(reasons[-1])
        time.sleep(EXPLAIN_AGAIN_S)
    return None


def _password(given: Given, known: Known) -> str:
    user = known.users.get(given.user or "")
    if given.password is not None:
        return given.password
    if given.password_stdin:
        return secret_from_stdin("password")
    if user is not None:
        return str(user["password"])
    if is_interactive():
        return str(typer.prompt(f"Password of {given.user}", hide_input=True, err=True))
    raise UsageError(f"the password of {given.user} is not known: give --password-stdin")


def _answers(given: Given, known: Known, report: "Transcript | Silent") -> "Answer":
    """Who answers the challenges: what was given, the demo's own secrets, or whoever sits at the terminal."""
    waiting = list(given.codes)
    automatic = _automatic(given, known) if given.auto else None

    async def answer(text: str, asked_at: float) -> str:
        link = await _page(given, known, report, text)
        if waiting:
            return waiting.pop(0)
        if automatic is not None and link is None:
            return await automatic(text, asked_at)
        prompt = "Code" if link is None else f"Code at the end of {link}"
        if is_interactive():
            return str(typer.prompt(prompt, err=True))
        line = sys.stdin.buffer.readline(MAX_CODE_BYTES).decode("utf-8", "replace").strip()
        # The secret and the password came through a pipe; whoever made it may still sit there.
        line = line or line_from_terminal(prompt, MAX_CODE_BYTES) or ""
        if not line and link is not None:
            raise UsageError(f"the window leads to {link}: open it in a browser, and type the code that comes of it here")
        if not line:
            raise UsageError("the server asks for a code and nobody is there to type one: give --code, --auto or a line of input")
        return line

    return answer


async def _page(given: Given, known: Known, report: "Transcript | Silent", text: str) -> str | None:
    """Tell where the page is that a window leads to, and what it is called; None where it leads to none."""
    from wardgate.simulator.links import led_to, newest_link

    led = led_to(text)
    if led is None:
        return None
    link = led.link
    if not link and known.outbox is not None and given.user is not None:
        link = await newest_link(known.outbox, given.user)
        report.remark(f"the message brings: {link}")
    report.remark("the person opens the link in a browser, and types the code that comes of it")
    return link or f"the link sent to {led.sent_to}"


def _automatic(given: Given, known: Known) -> "Answer":
    """The demo user's own codes."""
    from wardgate.simulator.codes import HotpCodes, OutboxCodes, TotpCodes

    user = known.users.get(given.user or "")
    if user is None or known.outbox is None:
        raise UsageError(f"--auto knows the users of a running demo only, and {given.user} is none")
    factor: Mapping[str, Any] = next(iter(user["factors"]), {"kind": "none"})
    outbox = OutboxCodes(known.outbox)
    app_codes = TotpCodes(factor["secret_hex"], factor["digits"], factor["period_s"]) if factor["kind"] == "totp" else None
    device_codes = HotpCodes(factor["secret_hex"], factor["counter"], factor["digits"]) if factor["kind"] == "hotp" else None

    async def answer(text: str, asked_at: float) -> str:
        if app_codes is not None:
            return await app_codes.fresh()
        if device_codes is not None:
            return device_codes.next()
        return await outbox.fresh(user["name"], "email" if factor["kind"] == "email" else "sms", asked_at)

    return answer
