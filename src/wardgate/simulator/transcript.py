"""What is printed while a login is played: every packet with its time, without its secrets."""

import time
from typing import Final, TextIO

from wardgate.radius.describe import describe
from wardgate.radius.packet import Code, Packet
from wardgate.simulator.line import Exchange

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_COLOUR_OF: Final = {Code.ACCESS_ACCEPT: _GREEN, Code.ACCESS_REJECT: _RED, Code.ACCESS_CHALLENGE: _YELLOW}
_INDENT: Final = " " * 14


class Transcript:
    """Prints to one stream, in colour where a person looks."""

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._began = time.monotonic()

    def heading(self, text: str) -> None:
        """A login begins."""
        self._began = time.monotonic()
        self._print(self._styled(text, _BOLD))

    def sent(self, request: Packet, sending: int, of: int) -> None:
        """A request left."""
        again = f", sent again ({sending} of {of}): the same octets" if sending > 1 else ""
        self._print(f"{self._at()}  -> {_name(request)} {request.identifier}, {len(request.raw)} octets{again}")
        if sending == 1:
            self._attributes(request)

    def received(self, exchange: Exchange) -> None:
        """Its reply came, or none did."""
        reply = exchange.reply
        if reply is None:
            self._print(f"{self._at()}  {self._styled(exchange.silence, _RED)}")
            return
        name = self._styled(_name(reply), _COLOUR_OF.get(reply.code, _BOLD))
        took = f"{exchange.took_s * 1000:.1f} ms"
        self._print(f"{self._at()}  <- {name} {reply.identifier}, {len(reply.raw)} octets, after {took}")
        self._attributes(reply)

    def remark(self, text: str) -> None:
        """Something that a person should know."""
        self._print(f"{_INDENT}{_printable(text)}")

    def complaint(self, text: str) -> None:
        """Something that would go wrong with a real device."""
        self._print(f"{_INDENT}{self._styled('problem: ' + text, _RED)}")

    def _attributes(self, packet: Packet) -> None:
        for name, value in describe(packet):
            self._print(f"{_INDENT}{self._styled(f'{name}: {value}', _DIM)}")

    def _at(self) -> str:
        return f"{(time.monotonic() - self._began) * 1000:>9.1f} ms"

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{_printable(text)}\x1b[0m" if self._colour else _printable(text)

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Silent:
    """Prints nothing, for `--json`."""

    def heading(self, text: str) -> None:
        """Nothing."""

    def sent(self, request: Packet, sending: int, of: int) -> None:
        """Nothing."""

    def received(self, exchange: Exchange) -> None:
        """Nothing."""

    def remark(self, text: str) -> None:
        """Nothing."""

    def complaint(self, text: str) -> None:
        """Nothing."""


def _name(packet: Packet) -> str:
    return packet.code.name.replace("_", "-").title()


def _printable(text: str) -> str:
    """What a server says must not drive the terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
