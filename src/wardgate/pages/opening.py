"""From a grant to the session that it opens."""

from collections.abc import Mapping
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.engine.hand_over import HAND_OVER
from wardgate.engine.outcome import Granted
from wardgate.engine.self_service.start_code import KIND as ACTIVATED
from wardgate.engine.trusted import TRUSTED_DEVICE
from wardgate.session.devices import device_of
from wardgate.session.sessions import DEFAULT_IDLE_S, DEFAULT_LIFE_S, Opening, Whose

# What stands among the factors of a grant and was proved at another time: it says nothing of who sits there now.
PROVED_BEFORE: Final = frozenset({TRUSTED_DEVICE, HAND_OVER})


def opening_of(granted: Granted, agent: str, address: str, language: str, made_for: str) -> Opening:
    """The session that this grant opens in this browser. `made_for`: where it leads."""
    whose = Whose(
        subject_id=SubjectId(granted.subject_id),
        realm=granted.realm,
        directory=granted.directory,
        user_name=granted.user_name,
        display_name=granted.display_name,
        language=language,
    )
    return Opening(
        whose=whose,
        factors=granted.factors,
        assurance=granted.assurance,
        application=granted.application,
        address=address,
        device=device_of(agent),
        reference=granted.reference,
        life_s=granted.session_s or DEFAULT_LIFE_S,
        idle_s=granted.idle_s or DEFAULT_IDLE_S,
        # Who has just signed in has just proved who he is; an activation is never one proof alone.
        confirms=ACTIVATED in granted.factors or len(set(granted.factors) - PROVED_BEFORE) > 1,
        proved_at=proved_before(granted),
        made_for=made_for,
    )


def proved_before(granted: Granted) -> Mapping[str, int]:
    """When those of its factors were proved that were not proved just now.

    Of what was proved at a time that nobody knows by now, a session knows no more: it counts for nothing.
    """
    return {**dict.fromkeys(PROVED_BEFORE.intersection(granted.factors), 0), **granted.proved_at}
