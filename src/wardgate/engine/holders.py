"""What a subject can prove with: the one place where a user and the rows that we keep of him come together."""

from collections.abc import Sequence

from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.directory.port import DirectoryUser
from wardgate.factors.port import Holder


def holder_of(subject_id: SubjectId, user: DirectoryUser, active: Sequence[Authenticator], held: Sequence[Authenticator]) -> Holder:
    """The holder behind a user."""
    return Holder(subject_id, active, user.phone, user.mail, held)
