"""Every management operation by the name that the command line and the control socket use.

One file for each room, with the table of its operations; each table is one line below, no scanning. The functions only fit the
rooms' functions to plain parameters; their signatures are what a request is checked against.
"""

from collections.abc import Mapping
from typing import Final

from wardgate.admin.operations import (
    activations,
    audit,
    authenticators,
    brakes,
    devices,
    documents,
    installation,
    people,
    questions,
    relying_parties,
    tokens,
    users,
)
from wardgate.control import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {
    **users.OPERATIONS,
    **people.OPERATIONS,
    **activations.OPERATIONS,
    **authenticators.OPERATIONS,
    **tokens.OPERATIONS,
    **questions.OPERATIONS,
    **devices.OPERATIONS,
    **relying_parties.OPERATIONS,
    **documents.OPERATIONS,
    **brakes.OPERATIONS,
    **audit.OPERATIONS,
    **installation.OPERATIONS,
}
