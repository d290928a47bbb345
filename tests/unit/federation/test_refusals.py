"""Every refusal of a SAML message has its name in the table that operators read, and the table names no other."""

import ast
from pathlib import Path

import wardgate.federation
from wardgate.federation.refusals import REFUSALS

ROOM = Path(wardgate.federation.__file__).parent
# Where the name of a refusal stands among the arguments.
PLACES = {"refused": 1, "SamlMessageError": 1, "NotTrusted": 1}


def named() -> set[str]:
    """The names that stand in the code: as arguments, and as constants that arguments name."""
    found = set()
    for path in ROOM.rglob("*.py"):
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            at = PLACES.get(getattr(call.func, "id", ""))
            if at is not None and len(call.args) > at and isinstance(call.args[at], ast.Constant):
                found.add(call.args[at].value)  # type: ignore[attr-defined]
        constants = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)]
        found |= {each.value for each in constants if path.name == "arriving.py" and str(each.value).startswith("saml_")}
    return found


def test_every_name_is_in_the_table_and_every_entry_is_used() -> None:
    default = "saml_malformed"
    assert named() | {default} == set(REFUSALS)
