"""Who a self-service flow is about, as directory and storage tell him now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wardgate.account import directory_contact
from wardgate.account.activation import Activation, of_subject, read_one
from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import asked
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.directory.port import AccountState, Directory, DirectoryUser
from wardgate.engine import interviews
from wardgate.engine.holders import holder_of
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.engine.self_service.start_code import held_code
from wardgate.engine.self_service.weighing import Ages, ages_of
from wardgate.factors.port import Holder
from wardgate.storage.port import Operation


@dataclass(frozen=True, slots=True)
class Person:
    """Who a flow is about, as directory and storage tell him now. `activation`: the one that the flow began with.

    `sighting`: what remembers the contacts that the directory tells, once he has proved something.
    """

    user: DirectoryUser
    directory: Directory
    holder: Holder
    ages: Ages
    frozen: bool = False
    activation: Activation | None = None
    sighting: tuple[Operation, ...] = ()


def may_take_part(goal: str, state: AccountState) -> bool:
    """Whether there is anything to prove for whose account is in this state; all others are treated like nobody.

    Who wants his lock lifted hears in the end that his account is closed in another way, once he has proved who he is.
    """
    return goal == "unlock" or state in (AccountState.ACTIVE, AccountState.LOCKED)


class People:
    """Finds them. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage

    async def known(self, flow: Flow) -> Person | None:
        """Who it is about, for a page that shows something of him: before the first proof none does, and nobody is looked for."""
        return await self.of(flow) if flow.proofs else None

    async def of(self, flow: Flow) -> Person | None:
        """Who it is about; None for nobody, and for an account that may not be used any more.

        Raises DirectoryUnavailable: of a name of nobody as well, and before the first proof where any directory of the realm is
        down, as who is somebody must not show by it.
        """
        realms = self._parts.configuration().realms
        of_realm = next((realm.directories for realm in realms if realm.name == flow.realm), ())
        if not flow.proofs:
            await ask_all(self._parts, of_realm, flow.user_name)
        if not flow.subject_id:
            for each in of_realm if len(of_realm) == 1 else ():
                await each.find(flow.user_name, self._parts.directory_timeout_s)
            return None
        directory = next((each for realm in realms for each in realm.directories if each.name == flow.directory), None)
        user = await directory.get(flow.immutable_id, self._parts.directory_timeout_s) if directory is not None else None
        if user is None or directory is None or not may_take_part(flow.goal, user.state):
            return None
        subject_id = SubjectId(flow.subject_id)
        configuration = self._parts.configuration()
        questions = interviews.reads(configuration, configuration.applications[flow.application].policy, subject_id)
        seen = directory_contact.asked(subject_id, flow.directory)
        finds = [kept_authenticators(subject_id), kept_contacts(subject_id), asked(subject_id), seen, *questions]
        if flow.activation:
            finds.append(of_subject(subject_id))
        rows, contacts, frozen, told, *answers = await self._storage.read(finds)
        issued = answers.pop() if flow.activation else []
        ring, answered = self._parts.ring(), interviews.read(configuration, answers)
        holder = holder_of(ring, subject_id, user, *active_and_held(rows), contacts, answered)
        about = (ring, subject_id, directory, user, told, to_ms(self._parts.clock.now()))
        ages = ages_of(ring, contacts, rows, directory_contact.first_seen(*about))
        person = Person(user, directory, holder, ages, bool(frozen), sighting=directory_contact.sighting(*about))
        return self.with_activation(flow, person, read_one(issued)) if flow.activation else person

    def with_activation(self, flow: Flow, person: Person, activation: Activation | None) -> Person | None:
        """The person with what was issued to him; None where that is over, was replaced, or the account waits for something."""
        now_ms = to_ms(self._parts.clock.now())
        if activation is None or activation.id != flow.activation or not activation.is_open(now_ms):
            return None
        if person.user.state is not AccountState.ACTIVE:
            return None
        held = replace(person.holder, authenticators=(*person.holder.authenticators, *held_code(activation, now_ms)))
        return replace(person, holder=held, activation=activation)


async def ask_all(parts: EngineParts, directories: Sequence[Directory], name: str) -> None:
    """Ask every one for a name, as for nobody's. The only one of a realm was or will be asked for whose it is."""
    for each in directories if len(directories) > 1 else ():
        await each.find(name, parts.directory_timeout_s)
