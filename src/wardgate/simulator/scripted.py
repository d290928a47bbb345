"""Plays a script step by step and compares what comes with what is expected."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wardgate.errors import PacketError, UsageError
from wardgate.radius.attributes import AttributeValueError, decode_value, encode_attribute
from wardgate.radius.client import build_access_request, build_accounting_request, build_status_server
from wardgate.radius.dictionaries import BUILT_IN
from wardgate.radius.packet import Attribute, Code, Packet, Type
from wardgate.simulator.codes import HotpCodes, Outbox, OutboxCodes, TotpCodes
from wardgate.simulator.line import Exchange, Line
from wardgate.simulator.login import Reporter, message_of
from wardgate.simulator.nas import SimulatedNas, client_address
from wardgate.simulator.script import CodeSource, Script, Send, Step

Values = Mapping[str, str | int | tuple[str | int, ...]]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step. `problems` is empty when all went as expected."""

    number: int
    name: str
    expected: str
    got: str
    took_ms: float
    message: str
    problems: tuple[str, ...]


@dataclass(slots=True)
class ScriptPlayer:
    """One run. `demo_users`: what a demo tells of its users, by name; empty where none is known."""

    nas: SimulatedNas
    line: Line
    report: Reporter
    outbox: Outbox | None = None
    demo_users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _user: str = ""
    _password: str = ""
    _login_began: float = 0.0
    _replies: list[Packet | None] = field(default_factory=list)
    _devices: dict[tuple[str, ...], TotpCodes | HotpCodes] = field(default_factory=dict)
    _codes_given: dict[str, int] = field(default_factory=dict)
    _outbox_codes: OutboxCodes | None = None

    async def play(self, script: Script) -> list[StepResult]:
        """Every step, until one does not go as expected."""
        results: list[StepResult] = []
        for number, step in enumerate(script.steps, start=1):
            result = await self._play_step(number, step)
            results.append(result)
            for problem in result.problems:
                self.report.complaint(problem)
            if result.problems:
                break
        return results

    async def _play_step(self, number: int, step: Step) -> StepResult:
        self.report.heading(f"step {number}{f': {step.name}' if step.name else ''}")
        await asyncio.sleep(step.send.after_s)
        exchange = await self.line.exchange(await self._request(step.send))
        self._replies.append(exchange.reply)
        problems = [*_problems(step, exchange), *[problem async for problem in self._repeat(step.send, exchange)]]
        got = exchange.reply.code.name.lower().removeprefix("access_") if exchange.reply else "nothing"
        message = message_of(exchange.reply) if exchange.reply else ""
        return StepResult(number, step.name, step.expect, got, round(exchange.took_s * 1000, 1), message, tuple(problems))

    async def _repeat(self, send: Send, exchange: Exchange) -> AsyncIterator[str]:
        """The same packet again: a server owes the same octets."""
        for _ in range(send.copies - 1):
            reply = await self.line.repeat(exchange.request)
            if (reply.raw if reply else None) != (exchange.reply.raw if exchange.reply else None):
                yield "a copy of the packet got another reply than the packet"

    # --- requests ------------------------------------------------------------------------------------------------

    async def _request(self, send: Send) -> Packet:
        if send.kind == "status":
            return build_status_server(self.line.secret, identifier=self.line.identifier(), attributes=_encoded(send.attributes))
        nas = self._nas(send)
        if send.kind == "accounting":
            told = [(Type.NAS_IDENTIFIER, (nas.identifier or "simulate").encode())]
            if send.user or self._user:
                told.append((Type.USER_NAME, (send.user or self._user).encode()))
            return build_accounting_request(
                [*told, *_encoded(send.attributes)], self.line.secret, identifier=self.line.identifier()
            )
        state = self._state(send)
        if state is None:
            self._login_began = time.time()
        self._know(send)
        return build_access_request(
            self._user,
            await self._proof(send, state),
            self.line.secret,
            identifier=self.line.identifier(),
            nas_identifier=nas.identifier,
            state=state,
            attributes=[*nas.attributes(self.line.own_address, self._user), *_encoded(send.attributes)],
            chap=send.chap,
            message_authenticator=nas.message_authenticator,
        )

    def _nas(self, send: Send) -> SimulatedNas:
        nas = self.nas
        if send.nas_identifier is not None:
            nas = replace(nas, identifier=send.nas_identifier or None)
        if send.client_ip is not None:
            nas = replace(nas, client_ip=client_address(send.client_ip))
        if send.message_authenticator is not None:
            nas = replace(nas, message_authenticator=send.message_authenticator)
        return nas

    def _know(self, send: Send) -> None:
        """Who logs in: as the step says, else as before, else as the demo tells."""
        if send.user is not None and send.user != self._user:
            self._user = send.user
            self._password = str(self.demo_users.get(send.user, {}).get("password", ""))
        if send.password is not None:
            self._password = str(send.password)
        if not self._user:
            raise UsageError("the first step of a login must name its user")

    def _state(self, send: Send) -> bytes | None:
        if isinstance(send.state, int):
            reply = self._replies[send.state - 1]
            state = reply.first(Type.STATE) if reply else None
            if state is None:
                raise UsageError(f"step {send.state} brought no State that could be sent")
            return state
        last = self._replies[-1] if self._replies else None
        if send.state == "none" or send.code is None or last is None or last.code is not Code.ACCESS_CHALLENGE:
            return None
        return last.first(Type.STATE)

    async def _proof(self, send: Send, state: bytes | None) -> str:
        """What stands in the password field: an answer to a challenge, a password, or both in one field."""
        code = await self._code(send.code)
        if code is None:
            return self._password
        if state is not None or not self._password:
            return code
        return send.separator.join((code, self._password) if send.code_first else (self._password, code))

    async def _code(self, source: str | int | CodeSource | None) -> str | None:
        if not isinstance(source, CodeSource):
            return None if source is None else str(source)
        if source.outbox is not None:
            if self.outbox is None:
                raise UsageError("the outbox is not known: name it under outbox, or play against a demo with --data")
            self._outbox_codes = self._outbox_codes or OutboxCodes(self.outbox)
            return await self._outbox_codes.fresh(self._user, source.outbox, self._login_began)
        if source.demo is not None:
            return await self._demo_code(source.demo)
        return await self._device_code(source)

    async def _device_code(self, source: CodeSource) -> str:
        if source.totp is not None:
            totp = TotpCodes(str(source.totp), source.digits, source.period_s, source.algorithm)
            kept = self._devices.setdefault(("totp", str(source.totp), source.algorithm), totp)
            if isinstance(kept, TotpCodes):
                return kept.at(source.shift_steps) if source.shift_steps is not None else await kept.fresh()
        return HotpCodes(str(source.hotp), source.counter, source.digits).next()

    async def _demo_code(self, kind: str) -> str:
        factors = self.demo_users.get(self._user, {}).get("factors", ())
        factor = next((each for each in factors if each["kind"] == kind), None)
        if factor is None:
            raise UsageError(f"no demo is known in which {self._user} has {kind}")
        given = self._codes_given.get(f"{self._user} {kind}", 0)
        self._codes_given[f"{self._user} {kind}"] = given + 1
        if kind == "recovery_code":
            return str(factor["codes"][given])
        if kind == "hotp":
            return HotpCodes(factor["secret_hex"], factor["counter"] + given, factor["digits"]).next()
        return await self._device_code(CodeSource(totp=factor["secret_hex"], digits=factor["digits"], period_s=factor["period_s"]))


# --- replies -----------------------------------------------------------------------------------------------------------

_CODES = {
    "challenge": Code.ACCESS_CHALLENGE,
    "accept": Code.ACCESS_ACCEPT,
    "reject": Code.ACCESS_REJECT,
    "accounting_response": Code.ACCOUNTING_RESPONSE,
}


def _problems(step: Step, exchange: Exchange) -> Iterator[str]:
    reply = exchange.reply
    if reply is None:
        if step.expect != "nothing":
            yield f"expected {step.expect}: {exchange.silence}"
        return
    if reply.code is not _CODES.get(step.expect):
        told = f', which says "{message_of(reply)}"' if message_of(reply) else ""
        yield f"expected {step.expect}, got {reply.code.name.lower().removeprefix('access_')}{told}"
        return
    if step.contains is not None and step.contains not in message_of(reply):
        yield f'the reply does not say "{step.contains}" but "{message_of(reply)}"'
    if step.within_s is not None and exchange.took_s > step.within_s:
        yield f"the reply took {exchange.took_s:.3f} s, longer than {step.within_s:g} s"
    yield from _missing(step.attributes, reply)


def _missing(wanted: Values, reply: Packet) -> Iterator[str]:
    for name, value in wanted.items():
        definition = BUILT_IN.find(name)
        try:
            found = [_shown(decode_value(definition, data)) for data in definition.read(reply)]
        except PacketError as error:
            yield error.message
            continue
        for each in value if isinstance(value, tuple) else (value,):
            if str(each) not in found:
                yield f"the reply has no {name}: {each} (it has {', '.join(found) or 'none'})"


def _shown(value: str | int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _encoded(values: Values) -> list[Attribute]:
    encoded = []
    for name, value in values.items():
        try:
            # What the server sets itself (Proxy-State, State) is a client's to send.
            definition = replace(BUILT_IN.find(name), protected=False)
            encoded += [encode_attribute(definition, each) for each in (value if isinstance(value, tuple) else (value,))]
        except AttributeValueError as error:
            raise UsageError(error.message) from error
    return encoded
