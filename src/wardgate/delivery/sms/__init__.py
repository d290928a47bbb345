"""Ways to hand a short message to an SMS service, one file per kind.

Try the templated HTTP gateway (`http.py`) first: most services need no code of their own. A kind is one file with its settings,
its gateway and a `GatewayKind`, and one entry in the list below. Nothing else names it: the configuration document, `wardgate
check`, `gateway list`, the settings page, order, failover, retries and the breaker all work from the list.
Imports port, kind and helpers of `delivery`; never the outbox.
"""

from typing import Any

from wardgate.delivery.kind import GatewayKind
from wardgate.delivery.sms import http

KINDS: tuple[GatewayKind[Any], ...] = (http.KIND,)
