"""Which applications a session was used for: what each knows it and its person by, so that they hear of its end.

A row is written in the commit of the grant that it belongs to. Names may tell who somebody is, so that they are sealed; what an
application asks by is found by keyed fingerprints.

Most grants of a session tell an application what it was told before. The row of the last time is then given again: where it stands
already, nothing is written, and nothing is sealed for it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from wardgate.crypto import KeyRing
from wardgate.errors import SealError
from wardgate.federation.saml.values import NameId
from wardgate.jsons import dumps, loads
from wardgate.session.sessions import Session
from wardgate.storage.port import Find, Operation, Row, Storage, Upsert, Where
from wardgate.values import quick_value

TABLE: Final = "saml_participant"
# Beyond any number of applications that an installation has.
MAX_PARTICIPANTS: Final = 500
# Of sessions in use; what is forgotten is sealed anew.
MAX_REMEMBERED: Final = 2_000


@quick_value
class Participant:
    """An application that a session was used for. `party`: its name; `index`: what it calls the session."""

    party: str
    name_id: NameId
    index: str


class Participants:
    """The rows."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing]) -> None:
        self._storage = storage
        self._ring = ring
        self._sealed_by: KeyRing | None = None
        self._told: dict[tuple[str, str, int, Participant], Row] = {}

    def joined(self, session: Session, participant: Participant, now_ms: int) -> Operation:
        """What notes that an application has been told of this session; what it was told last counts."""
        ring = self._ring()
        if ring is not self._sealed_by:
            self._sealed_by = ring
            self._told.clear()
        known_by = session.id, session.whose.subject_id, session.ends_at, participant
        row = self._told.get(known_by)
        if row is None:
            if len(self._told) >= MAX_REMEMBERED:
                del self._told[next(iter(self._told))]
            row = self._told[known_by] = _row(ring, session, participant, now_ms)
        return Upsert(TABLE, row)

    async def of(self, session_ids: Sequence[str]) -> dict[str, list[Participant]]:
        """The applications of each of these sessions, in the order in which they came."""
        finds = [Find(TABLE, (Where("session_id", "=", each),), "created_at", limit=MAX_PARTICIPANTS) for each in session_ids]
        found = await self._storage.read(finds) if finds else []
        opened = [[self._opened(row) for row in rows] for rows in found]
        return {
            session_id: [each for each in several if each is not None]
            for session_id, several in zip(session_ids, opened, strict=True)
        }

    def _opened(self, row: Row) -> Participant | None:
        sealed, party = row["sealed"], str(row["application"])
        try:
            body = loads(self._ring().open(sealed if isinstance(sealed, bytes) else b"", bound_to(str(row["session_id"]), party)))
        except SealError:
            return None
        value, form, qualifier, sp_qualifier, index = body
        return Participant(party, NameId(value, form, qualifier, sp_qualifier), index)


def _row(ring: KeyRing, session: Session, participant: Participant, now_ms: int) -> Row:
    name = participant.name_id
    body = [name.value, name.format, name.name_qualifier, name.sp_name_qualifier, participant.index]
    return {
        "session_id": session.id,
        "application": participant.party,
        "subject_id": session.whose.subject_id,
        "sealed": ring.seal(dumps(body).encode(), bound_to(session.id, participant.party)),
        "created_at": now_ms,
        "expires_at": session.ends_at,
    }


def bound_to(session_id: str, application: str) -> str:
    """What seals a name to its row."""
    return f"saml_participant:{session_id}:{application}"
