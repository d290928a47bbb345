"""What is noted of the applications of a session: the same row again where nothing is new, and never a name under an old key."""

from wardgate.account.subject import SubjectId
from wardgate.crypto import MAC_ROOT, KeyRing, new_key
from wardgate.federation import participants
from wardgate.federation.participants import Participant, Participants
from wardgate.federation.saml.values import NameId
from wardgate.session.sessions import Session, Whose
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Row, Upsert


class World:
    """A session, and what is written of it."""

    def __init__(self) -> None:
        self.root = new_key()
        self.rotate(1)
        self.participants = Participants(MemoryStorage(), lambda: self.ring)

    def rotate(self, number: int) -> None:
        """Another key seals from now on."""
        self.ring = KeyRing({MAC_ROOT: self.root, number: new_key()})

    def joined(self, name: str = "ada", ends_at: int = 9_000, now_ms: int = 1_000) -> Row:
        """The row that a grant writes."""
        session = Session(
            "s", Whose(SubjectId("u"), "acme", "local", "ada", "Ada", "en"), {}, 1, "wiki", "", "", 0, 0, ends_at, 60_000
        )
        operation = self.participants.joined(session, Participant("wiki", NameId(name, "persistent"), "_i"), now_ms)
        assert isinstance(operation, Upsert)
        return operation.row


def test_what_an_application_knows_already_is_the_same_row_again() -> None:
    world = World()
    first = world.joined()
    assert world.joined(now_ms=2_000) == first
    other, longer = world.joined("grace"), world.joined(ends_at=10_000)
    assert first["sealed"] != other["sealed"]
    assert longer["expires_at"] == 10_000
    assert world.joined() == first


def test_after_a_rotation_no_name_is_written_under_the_key_of_before() -> None:
    world = World()
    before = world.joined()["sealed"]
    world.rotate(2)
    sealed = world.joined()["sealed"]
    assert sealed != before
    assert isinstance(sealed, bytes)
    assert b"ada" in world.ring.open(sealed, participants.bound_to("s", "wiki"))
