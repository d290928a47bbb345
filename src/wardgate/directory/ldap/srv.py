"""SRV records (RFC 2782) asked of the system's resolvers: a question of DNS over UDP, over TCP when the answer was cut.

The standard library cannot ask for them. Only what a stub needs is here; every answer is bounded, and one that does not repeat
our random id, port and question is not looked at.
"""

import asyncio
import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import SystemRandom, randbelow
from typing import Final

RESOLV_CONF: Final = Path("/etc/resolv.conf")
TRY_S: Final = 2.0
TRIES: Final = 2
MAX_RESOLVERS: Final = 3
MAX_RECORDS: Final = 64
MAX_ANSWER_BYTES: Final = 65_535
_MAX_CONFIGURATION_BYTES: Final = 64 * 1024
_SRV, _IN = 33, 1
_MAX_NAME_JUMPS: Final = 64
_random = SystemRandom()


class ResolverFailed(Exception):
    """No resolver gave an answer that can be used."""


@dataclass(frozen=True, slots=True)
class Target:
    """One record."""

    priority: int
    weight: int
    port: int
    host: str


async def resolve(name: str, resolvers: Sequence[tuple[str, int]] | None = None) -> tuple[Target, ...]:
    """The servers for `name` in the order in which to try them. Raises ResolverFailed."""
    asked = tuple(resolvers) if resolvers is not None else await asyncio.to_thread(system_resolvers)
    problem = "no resolver is configured"
    for _ in range(TRIES):
        for address in asked:
            try:
                async with asyncio.timeout(TRY_S):
                    return in_order(await _ask(address, name))
            except TimeoutError:
                problem = f"{address[0]} did not answer in time"
            except OSError as error:
                problem = f"{address[0]}: {error.strerror or error}"
            except (_Malformed, struct.error, IndexError, UnicodeDecodeError) as error:
                problem = f"{address[0]} gave a malformed answer: {error}"
            except _Refused as error:
                problem = f"{address[0]}: {error}"
    raise ResolverFailed(f"SRV records of {name}: {problem}")


def system_resolvers(path: Path = RESOLV_CONF) -> tuple[tuple[str, int], ...]:
    """The name servers that the system is configured with, and the port."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_MAX_CONFIGURATION_BYTES).splitlines()
    except OSError:
        lines = []
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            found.append((words[1], 53))
    # resolv.conf(5): with no entry, the local machine is asked.
    return tuple(found[:MAX_RESOLVERS]) or (("127.0.0.1", 53),)


def in_order(targets: Sequence[Target]) -> tuple[Target, ...]:
    """By priority, and among equals at random by weight. RFC 2782."""
    found: list[Target] = []
    for priority in sorted({target.priority for target in targets}):
        group = [target for target in targets if target.priority == priority]
        while group:
            drawn = _random.choices(group, weights=[target.weight + 0.01 for target in group])[0]
            group.remove(drawn)
            found.append(drawn)
    return tuple(found)


class _Malformed(Exception):
    pass


class _Refused(Exception):
    pass


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, question: bytes) -> None:
        self._question = question
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: object) -> None:
        """asyncio: what is not the answer to our question was not asked for, and is dropped."""
        if not self.received.done() and _answers(data, self._question):
            self.received.set_result(data)

    def error_received(self, error: Exception) -> None:
        """asyncio: nobody listens there."""
        if not self.received.done():
            self.received.set_exception(error)


async def _ask(address: tuple[str, int], name: str) -> tuple[Target, ...]:
    question = _question(name)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Answer(question), remote_addr=address)
    try:
        transport.sendto(question)
        answer = await protocol.received
    finally:
        transport.close()
    if answer[2] & 0x02:
        answer = await _ask_by_tcp(address, question)
    return _read(answer)


async def _ask_by_tcp(address: tuple[str, int], question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(len(question).to_bytes(2) + question)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    except asyncio.IncompleteReadError as error:
        raise _Malformed("cut off") from error
    finally:
        writer.close()
    if not _answers(answer, question):
        raise _Malformed("not the answer to our question")
    return answer


def _question(name: str) -> bytes:
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("idna").rstrip(b".").split(b"."))
    return struct.pack("!6H", randbelow(2**16), 0x0100, 1, 0, 0, 0) + labels + b"\x00" + struct.pack("!2H", _SRV, _IN)


def _answers(data: bytes, question: bytes) -> bool:
    """Whether it is a response with our id that repeats our question."""
    return (
        len(data) >= len(question)
        and data[:2] == question[:2]
        and bool(data[2] & 0x80)
        and data[4:6] == b"\x00\x01"
        and data[12 : len(question)].lower() == question[12:].lower()
    )


def _read(answer: bytes) -> tuple[Target, ...]:
    code = answer[3] & 0x0F
    if code == 3:
        raise _Refused("no such name")
    if code:
        raise _Refused(f"refused with code {code}")
    count = int.from_bytes(answer[6:8])
    if count > MAX_RECORDS:
        raise _Malformed("too many records")
    _, at = _name(answer, 12)
    at += 4
    found = []
    for _ in range(count):
        _, at = _name(answer, at)
        kind, family, _, size = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if at + size > len(answer):
            raise _Malformed("cut off")
        if (kind, family) == (_SRV, _IN):
            priority, weight, port = struct.unpack_from("!3H", answer, at)
            host, _ = _name(answer, at + 6)
            if host and port:  # `.` says that the service is not offered
                found.append(Target(priority, weight, port, host))
        at += size
    return tuple(found)


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends. Compressed names point backwards, a bounded number of times."""
    labels: list[str] = []
    end: int | None = None
    for _ in range(_MAX_NAME_JUMPS):
        size = data[at]
        if size >= 0xC0:
            end = at + 2 if end is None else end
            at = ((size & 0x3F) << 8) | data[at + 1]
        elif size > 63:
            raise _Malformed("a label of an unknown kind")
        elif not size:
            return ".".join(labels).lower(), at + 1 if end is None else end
        else:
            label = data[at + 1 : at + 1 + size]
            if len(label) < size:
                raise _Malformed("cut off")
            labels.append(label.decode("ascii"))
            at += 1 + size
    raise _Malformed("a name without an end")
