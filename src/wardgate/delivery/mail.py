"""A message as e-mail: checked addresses in, the octets of RFC 5322 out. Pure; nothing in it can start a header of its own."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from wardgate.delivery.port import Message
from wardgate.errors import MessageError

# RFC 5321 section 4.5.3.1, with the path's brackets taken off.
MAX_ADDRESS_CHARS = 254
MAX_LOCAL_CHARS = 64
MAX_SUBJECT_CHARS = 200
MAX_TEXT_CHARS = 10_000

# A dot-atom of RFC 5322 section 3.2.3, with the letters that RFC 6531 adds. Quoted local parts are not taken: no directory that
# we serve has them, and they are how an address carries spaces, brackets and more.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\ud7ff\ue000-\ufffd\U00010000-\U000e0fff-]+"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A checked address, its domain in ASCII (RFC 5890), and the name that may stand before it."""

    local: str
    domain: str
    name: str = ""

    @property
    def address(self) -> str:
        """As it stands in the envelope."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with RFC 6531 can take it."""
        return not self.local.isascii()


def parse_mailbox(text: str, *, named: bool = False) -> Mailbox:
    """Read `carol@example.test` or, when `named`, also `Acme Login <login@example.test>`.

    Raises MessageError (`mail_malformed`), which does not repeat the address: line ends and other control characters, spaces,
    quoted names and brackets inside an address are refused, not escaped.
    """
    name = ""
    if named and text.endswith(">"):
        name, _, text = text[:-1].rpartition("<")
        name = name.strip().strip('"')
        if not name.isprintable() or len(name) > MAX_SUBJECT_CHARS or set(name) & set('<>"\\'):
            raise MessageError("the name before the mail address has characters that do not belong there", "mail_malformed")
    if len(text) > MAX_ADDRESS_CHARS:
        raise MessageError(f"the mail address is longer than {MAX_ADDRESS_CHARS} characters", "mail_malformed")
    local, _, domain = text.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError as error:
        raise MessageError("the domain of the mail address is malformed", "mail_malformed") from error
    fits = text.isprintable() and len(local) <= MAX_LOCAL_CHARS and len(local) + len(ascii_domain) < MAX_ADDRESS_CHARS
    if not fits or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain):
        raise MessageError("the mail address is malformed", "mail_malformed")
    return Mailbox(local, ascii_domain, name)


def compose(message: Message, sender: Mailbox, to: Mailbox, date: datetime) -> bytes:
    """The octets of `message`, with CRLF line ends and in 7 bits, so that every server takes them.

    The Message-ID comes from `message.id` alone: a server or mailbox that sees a second try can tell that it is the same mail.
    Raises MessageError (`mail_malformed`) for a subject with control characters and for what is too long.
    """
    if not _ID.fullmatch(message.id) or len(message.text) > MAX_TEXT_CHARS:
        raise MessageError("the message's id is malformed or its text too long", "mail_malformed")
    if not message.subject.isprintable() or len(message.subject) > MAX_SUBJECT_CHARS:
        raise MessageError(f"the subject has control characters or more than {MAX_SUBJECT_CHARS} characters", "mail_malformed")
    policy = (SMTPUTF8 if to.needs_smtputf8 or sender.needs_smtputf8 else SMTP).clone(cte_type="7bit")
    mail = EmailMessage(policy=policy)
    mail["From"] = Address(sender.name, sender.local, sender.domain)
    mail["To"] = Address("", to.local, to.domain)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    # RFC 3834 section 5.2: nobody is to answer this by machine. Exchange listens to its own header only.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    try:
        mail.set_content(message.text, charset="utf-8")
        return mail.as_bytes()
    except UnicodeError as error:
        raise MessageError("the text is not Unicode: it has half of a surrogate pair", "mail_malformed") from error
