"""Checks tickets by MIT's library, through python-gssapi: an extra, because it has to be compiled on the machine.

Everything is done in a small pool of threads of its own: a check reads the keytab and computes for a millisecond. The library's own
memory of used tickets is switched off. It is one machine's, and ours is in storage, for all workers and nodes.
"""

import asyncio
import hashlib
import importlib
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from wardgate.errors import KerberosUnavailable, MessageError, Overloaded
from wardgate.kerberos.pac import account_sid
from wardgate.kerberos.port import MAX_TICKET_BYTES, NotTaken, Service, Ticket, Why

THREADS: Final = 2
MAX_WAITING: Final = 64
LIBRARY: Final = "gssapi"
INSTALL: Final = (
    "install what it is built with (on Debian: apt-get install gcc libc6-dev libkrb5-dev), then run tools/kerberos in the "
    "checkout, or install wardgate[kerberos]; restart the server afterwards"
)
_CONFIGURATION: Final = Path(__file__).with_name("krb5.conf")
_SPNEGO, _KERBEROS = "1.3.6.1.5.5.2", "1.2.840.113554.1.2.2"
_NTLM: Final = b"NTLMSSP\0"
# NTLM within SPNEGO: its object identifier, 1.3.6.1.4.1.311.2.2.10, as DER has it.
_NTLM_OID: Final = bytes.fromhex("060a2b06010401823702020a")
_ACCOUNT: Final = b"urn:mspac:logon-info"
# RFC 4121: what came before it (DES, RC4) is not taken.
_CFX: Final = 1
MAX_DETAIL_CHARS: Final = 200


def missing() -> str | None:
    """Why no tickets can be checked on this machine, with what to install; None where they can."""
    if importlib.util.find_spec(LIBRARY) is None:
        return f"Kerberos needs the Python package {LIBRARY}, which this server does not have: {INSTALL}"
    return None


class Acceptor:
    """Satisfies `port.TicketChecking`. Until a ticket comes, nothing is loaded and no thread is started."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="kerberos")
        self._pending = 0

    async def check(self, service: Service, shown: bytes, bindings: bytes) -> Ticket | NotTaken:
        """Whether this is a ticket for the service."""
        if not 0 < len(shown) <= MAX_TICKET_BYTES:
            return NotTaken(Why.MALFORMED)
        if shown.startswith(_NTLM):
            return NotTaken(Why.NTLM)
        if self._pending >= THREADS + MAX_WAITING:
            raise Overloaded("too many tickets wait to be checked")
        library = _library()
        self._pending += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, _check, library, service, shown, bindings)
        work.add_done_callback(self._done)
        return await work

    def close(self) -> None:
        """Start no more; what runs ends in a moment."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: object) -> None:
        """Counted until it is over, whether or not somebody still waits for it."""
        self._pending -= 1


@lru_cache(maxsize=1)
def _library() -> Any:
    """The library, told to read our configuration: it looks there when it is asked first."""
    if problem := missing():
        raise KerberosUnavailable(problem)
    os.environ["KRB5_CONFIG"] = str(_CONFIGURATION)
    try:
        return importlib.import_module(LIBRARY)
    except ImportError as error:
        raise KerberosUnavailable(f"the Python package {LIBRARY} does not load: {error}; {INSTALL}") from error


def _check(library: Any, service: Service, shown: bytes, bindings: bytes) -> Ticket | NotTaken:
    """In one step. The library's raw call: its convenient one keeps an error for later when there is something to send with it."""
    raw = library.raw
    credentials = _credentials(library, service)
    bound = raw.ChannelBindings(application_data=bindings) if bindings else None
    try:
        accepted = raw.accept_sec_context(shown, credentials, channel_bindings=bound)
        # A question back (another mechanism, or NTLM first): one round is all that there is.
        return _strange(shown) if accepted.more_steps else _read(library, accepted)
    except raw.BadChannelBindingsError:
        return NotTaken(Why.OTHER_CHANNEL)
    except (raw.BadMechanismError, raw.InvalidTokenError):
        return _strange(shown)
    except raw.GSSError as error:
        return NotTaken(Why.INVALID, _detail(error))


def _credentials(library: Any, service: Service) -> Any:
    """Of this name alone, for Kerberos within SPNEGO alone: other keys in the file, and other mechanisms, do not count.

    Read anew for each ticket: a new keytab holds at once.
    """
    spnego, kerberos = map(library.OID.from_int_seq, (_SPNEGO, _KERBEROS))
    store = {"keytab": f"FILE:{service.keytab}", "rcache": "none:"}
    try:
        name = library.Name(service.principal, library.NameType.kerberos_principal)
        credentials = library.Credentials(usage="accept", name=name, mechs=[spnego], store=store)
        library.raw.set_neg_mechs(credentials, [kerberos])
    except library.raw.GSSError as error:
        problem = f"no key of {service.principal} can be read from {service.keytab}"
        raise KerberosUnavailable(f"{problem}: export the keytab for this name, readable for the server's user") from error
    return credentials


def _read(library: Any, accepted: Any) -> Ticket | NotTaken:
    """What the ticket says. The context is used up by it: nothing is signed or encrypted by it, and no delegated ticket is kept."""
    raw = library.raw
    if accepted.mech != library.OID.from_int_seq(_KERBEROS):
        return NotTaken(Why.MALFORMED)
    shown_name = raw.display_name(accepted.initiator_name, name_type=False).name.decode("utf-8", "replace")
    principal, at, realm = shown_name.rpartition("@")
    sid = _sid(library, accepted.initiator_name)
    if sid is None or not at:
        return NotTaken(Why.NO_ACCOUNT)
    proved_at = datetime.fromtimestamp(raw.krb5_extract_authtime_from_sec_context(accepted.context), UTC)
    keys = raw.krb5_export_lucid_sec_context(accepted.context, 1)
    if keys.protocol != _CFX or not keys.cfx_kd:
        return NotTaken(Why.INVALID, "an old kind of encryption")
    # The key and the number that the browser made for this one message stand in its sealed part (RFC 4120 section 5.5.1). Whoever
    # writes what is around that in another way has the same message again; a fingerprint of its octets would not tell.
    use = hashlib.sha256(keys.cfx_kd.ctx_key + keys.recv_seq.to_bytes(8, "big")).digest()
    return Ticket(principal, realm, sid, proved_at, use, accepted.token or b"")


def _strange(shown: bytes) -> NotTaken:
    return NotTaken(Why.NTLM if _NTLM_OID in shown else Why.MALFORMED)


def _detail(error: Exception) -> str:
    """What the mechanism says, behind what GSSAPI says of it."""
    told = str(error).rpartition("Minor (")[2].partition("): ")[2]
    return "".join(char if char.isprintable() else " " for char in told)[:MAX_DETAIL_CHARS]


def _sid(library: Any, name: Any) -> bytes | None:
    """The account, where the domain controller's signature on it holds: the library tells that of each part."""
    try:
        part = library.raw.get_name_attribute(name, _ACCOUNT)
    except library.raw.GSSError:
        return None
    if not part.authenticated or len(part.values) != 1:
        return None
    try:
        return account_sid(part.values[0])
    except MessageError:
        return None
