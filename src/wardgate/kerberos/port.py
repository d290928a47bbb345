"""What the engine asks of Kerberos: look at a ticket, say whose it is."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from wardgate.values import quick_value

# With the groups of somebody who is in a thousand of them a ticket has 48 000 bytes (MaxTokenSize); base64 makes a third more.
MAX_TICKET_BYTES: Final = 48 * 1024
# How far the client's clock may be off. It stands in `krb5.conf` of this room as well, which a test compares.
SKEW_S: Final = 300


class Why(StrEnum):
    """Why a ticket proves nothing. INVALID: run out, for another name or key, from a clock that is off; the library says which."""

    NTLM = "ticket_ntlm"
    MALFORMED = "ticket_malformed"
    INVALID = "ticket_invalid"
    OTHER_CHANNEL = "ticket_other_channel"
    NO_ACCOUNT = "ticket_without_account"


@quick_value
class NotTaken:
    """A ticket that proves nothing. For the timeline: the person is told the same whatever it was.

    `detail`: in the library's words.
    """

    why: Why
    detail: str = ""


@quick_value
class Service:
    """The name that tickets must be for, with its realm, and the file that holds its keys."""

    principal: str
    keytab: str


@quick_value
class Ticket:
    """A ticket that is good.

    `name` and `realm`: as the ticket has them, for the timeline; `sid`: the account, as the domain controller has signed it.
    `proved_at`: when the person proved himself to the domain. `use`: the same for every copy of what the browser sent, and for
    nothing else. `answer`: what proves us to the browser.
    """

    name: str
    realm: str
    sid: bytes
    proved_at: datetime
    use: bytes
    answer: bytes


class TicketChecking(Protocol):
    """Looks at tickets."""

    async def check(self, service: Service, shown: bytes, bindings: bytes) -> Ticket | NotTaken:
        """Whether this is a ticket for the service. It may be a copy of one that was shown before: the caller looks to that.

        `bindings`: of the channel that it came by (RFC 5929); empty where it is not known. Raises Overloaded when too many wait,
        and KerberosUnavailable where nothing can be checked: no library, or no keytab.
        """
        ...
