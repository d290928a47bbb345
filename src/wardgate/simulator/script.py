"""The format of an unattended run: a YAML file with the steps that a NAS takes and what it expects.

```yaml
timeout_s: 3                      # waited after each sending; default 3
retransmit: 2                     # sent again so often without a reply; default 2
outbox: {url: https://127.0.0.1:8443/outbox, ca_file: var/tls/cert.pem}    # against a demo with --data it is known
steps:
  - name: password                # optional; printed
    send: {user: ada, password: correct horse}
    expect: challenge             # challenge, accept, reject, accounting_response, or nothing (silence)
    contains: code from your app  # must stand in the Reply-Message
    within_s: 2                   # the reply must not take longer
  - send: {code: {totp: 3132333435363738393031323334353637383930}}
    expect: accept
    attributes: {PaloAlto-User-Group: vpn-users}    # must stand in the reply; a list: all of them
```

`send` holds:

- `user`, `password`: who logs in. Left out: as in the step before. Against a demo, a demo user's password is known.
- `code`: what is typed: text; or `{totp: HEX}` with `digits`, `period_s`, `algorithm` (SHA1, SHA256, SHA512) and `shift_steps`
  (so many time steps away); or `{hotp: HEX, counter: N}`; or `{outbox: sms}` or `{outbox: email}`: the code of the message that
  this login brought; or, against a demo, `{demo: totp}`, `{demo: hotp}` or `{demo: recovery_code}`.
  Where no challenge is open, the code goes beside the password into one field: `separator` stands between them, and with
  `code_first: true` the code comes first. With `password: ""` it stands there alone.
- `state`: `auto` (the State of the last reply, if it was a challenge and a code is sent), `none`, or the number of the step whose
  challenge is answered.
- `chap: true`: prove the password by CHAP. `kind`: `access`, `status` (Status-Server) or `accounting`.
- `message_authenticator`: `first`, `last` or `none`. `nas_identifier`, `client_ip`: instead of the command line's; empty: none.
- `attributes`: more attributes, by name or `vendor:number`, with a value or a list of values.
- `copies: N`: the identical packet N times in all; every reply must have the same octets.
- `after_s`: wait so long before sending.

The run ends at the first step that does not go as expected.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wardgate.config.faults import Fault, from_pydantic, refuse
from wardgate.config.reading import read_yaml
from wardgate.errors import SettingsError, UsageError
from wardgate.radius.packet import Placing
from wardgate.simulator.line import MAX_RETRANSMIT, MAX_TIMEOUT_S

MAX_STEPS: Final = 1_000
MAX_COPIES: Final = 16
MAX_WAIT_S: Final = 600.0

Expected = Literal["challenge", "accept", "reject", "accounting_response", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    """Where a code comes from: exactly one of `totp`, `hotp`, `outbox` and `demo`."""

    totp: str | int | None = None
    hotp: str | int | None = None
    outbox: Literal["sms", "email"] | None = None
    demo: Literal["totp", "hotp", "recovery_code"] | None = None
    digits: int = 6
    period_s: int = 30
    algorithm: Literal["SHA1", "SHA256", "SHA512"] = "SHA1"
    shift_steps: int | None = None
    counter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One request."""

    kind: Literal["access", "status", "accounting"] = "access"
    user: str | None = None
    password: str | int | None = None
    code: str | int | CodeSource | None = None
    separator: str = ""
    code_first: bool = False
    state: Literal["auto", "none"] | int = "auto"
    chap: bool = False
    message_authenticator: Placing | None = None
    nas_identifier: str | None = None
    client_ip: str | None = None
    attributes: Mapping[str, str | int | tuple[str | int, ...]] = field(default_factory=dict)
    copies: int = 1
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A request and what is expected of the reply."""

    send: Send
    expect: Expected
    name: str = ""
    contains: str | None = None
    attributes: Mapping[str, str | int | tuple[str | int, ...]] = field(default_factory=dict)
    within_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPlace:
    """The demo's outbox."""

    url: str
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole run."""

    steps: tuple[Step, ...]
    timeout_s: float | None = None
    retransmit: int | None = None
    outbox: OutboxPlace | None = None


def parse_script(text: str) -> Script:
    """The script in a YAML text. Raises UsageError that lists every fault with its path, and never shows a value."""
    try:
        return _checked(_typed(read_yaml(text)))
    except SettingsError as error:
        raise UsageError(error.message) from error


def _typed(plain: Any) -> Script:
    if not isinstance(plain, Mapping):
        raise SettingsError("the script must be keys with values; it needs at least steps")
    # As the configuration document: strict, by way of JSON, so that no unknown key and no silent conversion passes.
    around: Any = tuple.__class_getitem__((Script,))
    adapter: TypeAdapter[tuple[Script]] = TypeAdapter(around, config=ConfigDict(extra="forbid", strict=True))
    try:
        return adapter.validate_json(json.dumps([plain], allow_nan=False))[0]
    except ValidationError as error:
        raise refuse(from_pydantic(error, Script), "the script") from error
    except ValueError as error:
        raise SettingsError("the script holds something that is neither text, number, list nor keys with values") from error


def _checked(script: Script) -> Script:
    faults: list[Fault] = []
    if not 1 <= len(script.steps) <= MAX_STEPS:
        faults.append(Fault("steps", f"must be 1 to {MAX_STEPS} steps"))
    if script.timeout_s is not None and not 0 < script.timeout_s <= MAX_TIMEOUT_S:
        faults.append(Fault("timeout_s", f"must be more than 0 and at most {MAX_TIMEOUT_S:.0f}"))
    if script.retransmit is not None and not 0 <= script.retransmit <= MAX_RETRANSMIT:
        faults.append(Fault("retransmit", f"must be 0 to {MAX_RETRANSMIT}"))
    for number, step in enumerate(script.steps):
        faults += [Fault(f"steps[{number}].send.{name}", problem) for name, problem in _faults_of(step.send, number)]
    if faults:
        raise refuse(faults, "the script")
    return script


def _faults_of(send: Send, number: int) -> list[tuple[str, str]]:
    faults = []
    if isinstance(send.code, CodeSource):
        named = [name for name in ("totp", "hotp", "outbox", "demo") if getattr(send.code, name) is not None]
        if len(named) != 1:
            faults.append(("code", "must name one of totp, hotp, outbox and demo"))
    if isinstance(send.state, int) and not 1 <= send.state <= number:
        faults.append(("state", "must be auto, none, or the number of an earlier step (the first is 1)"))
    if not 1 <= send.copies <= MAX_COPIES:
        faults.append(("copies", f"must be 1 to {MAX_COPIES}"))
    if not 0 <= send.after_s <= MAX_WAIT_S:
        faults.append(("after_s", f"must be 0 to {MAX_WAIT_S:.0f}"))
    return faults
