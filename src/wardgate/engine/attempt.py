"""What is known while a first request is worked on: the request, who it may be, and whose first factor is proved."""

from collections.abc import Sequence
from datetime import datetime

from wardgate.account.authenticator import Authenticator
from wardgate.account.device import Shown
from wardgate.account.subject import SubjectId
from wardgate.directory.port import Directory, DirectoryUser
from wardgate.directory.realm import Realm
from wardgate.engine import brakes
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import Application, EngineConfiguration
from wardgate.errors import StorageError
from wardgate.factors.port import Holder
from wardgate.risk.assessing import NOT_ASSESSED, Assessed
from wardgate.storage.port import Operation, Row
from wardgate.values import quick_value


@quick_value
class Attempt:
    """What is known while a first request is worked on. `names`: what to look up, in this order; `name` stands for all of them."""

    request: BeginRequest
    configuration: EngineConfiguration
    application: Application
    realm: Realm
    names: tuple[str, ...]
    now: datetime
    now_ms: int

    @property
    def name(self) -> str:
        """The name without what selected its realm; empty for what can be nobody's."""
        return self.names[0]

    @property
    def language(self) -> str:
        """Before the password is proved: never the user's own language, which would tell that he exists."""
        return self.request.origin.language or self.realm.settings.language


@quick_value
class Candidate:
    """Who it may be before anything is proved, and what was read about him.

    `directory`: who found him, or the one that nobody's password is tried on; None where no directory can hold the name. `back`:
    what gives the reserved attempts back once the password was right, with the next commit. `refusal`: the password was right and
    has to be changed, so this is what the login comes to once all is proved. `proved`: a factor that was proved, and spent, before
    the password. `grace`: the directory is down, and the user is as it told him last. `known`: the row of his known name, if read.
    `opened`: the brake that `proved` let him past; if he fails after all, it is what he hears. `lane`: how he came past a brake
    (`lanes`), whose keys are then the lane's.
    """

    directory: Directory | None
    user: DirectoryUser | None
    subject_id: SubjectId | None
    keys: brakes.BrakeKeys
    seen: brakes.Seen
    active: Sequence[Authenticator] = ()
    held: Sequence[Authenticator] = ()
    contacts: Sequence[Row] = ()
    back: tuple[Operation, ...] = ()
    refusal: str = ""
    proved: str = ""
    grace: bool = False
    known: Row | None = None
    opened: brakes.Hold | None = None
    lane: str = ""

    @property
    def found(self) -> DirectoryUser:
        """The user, once something is proved."""
        if self.user is None:
            raise StorageError("nothing is proved about nobody")
        return self.user


@quick_value
class SeenDevice:
    """A device that is this person's, by what it showed. Not `trusted`: a restore holds it until a strong factor was proved."""

    shown: Shown
    created_at: int
    trusted: bool


@quick_value
class Person:
    """A user whose first factor is proved, and what he can prove next.

    `settle`: what the next commit has to write besides, which is to give the reserved attempts back. `note`: what a grant has to
    write besides, which is whose name this is. `refusal`, `proved`, `grace`, `contacts` and `lane` as of the `Candidate`.
    `surroundings`: what the login looks like beside that. `device`: the trusted one that it came from.
    """

    user: DirectoryUser
    holder: Holder
    language: str
    keys: brakes.BrakeKeys
    seen: brakes.Seen
    settle: tuple[Operation, ...]
    note: tuple[Operation, ...] = ()
    refusal: str = ""
    proved: str = ""
    grace: bool = False
    contacts: Sequence[Row] = ()
    surroundings: Assessed = NOT_ASSESSED
    device: SeenDevice | None = None
    lane: str = ""
