"""Ways to hand a short message to an SMS service, one file per kind.

Try the templated HTTP gateway (`http.py`) first: most services need no code of their own. A kind is a `GatewayKind` and stands
in the list below; it gets order, failover, retries, the breaker and the conformance suite from the outbox.
Imports port, settings and helpers of `delivery`; never the outbox.
"""

from typing import Any

from wardgate.delivery.kind import GatewayKind
from wardgate.delivery.sms import http

KINDS: tuple[GatewayKind[Any], ...] = (http.KIND,)
