"""What a subject can prove with: the one place where a user and the rows that we keep of him come together."""

from collections.abc import Sequence

from wardgate.account.authenticator import Authenticator
from wardgate.account.contact import merge, usable_contacts
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.directory.port import DirectoryUser
from wardgate.factors.port import Holder
from wardgate.storage.port import Row


def holder_of(
    ring: KeyRing,
    subject_id: SubjectId,
    user: DirectoryUser,
    active: Sequence[Authenticator],
    held: Sequence[Authenticator],
    contacts: Sequence[Row] = (),
) -> Holder:
    """The holder behind a user. `contacts`: the rows of his own ones, which may stand before the directory's."""
    if not contacts:
        return Holder(subject_id, active, user.phone, user.mail, held)
    reach = merge(user, usable_contacts(ring, contacts))
    return Holder(subject_id, active, reach.phone, reach.mail, held)
