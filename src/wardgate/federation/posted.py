"""A message in a form that another site posts to us: no cookie of ours comes along, and no token of ours is in it."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from wardgate.errors import SamlMessageError
from wardgate.federation.arriving import NotTrusted, not_trusted
from wardgate.federation.saml.bindings import Received, read_post

# A message of 64 KiB in base64 and percent signs, with its RelayState.
MAX_POST_BYTES: Final = 128 * 1024
MAX_FIELDS: Final = 20
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


async def posted_message(request: Request) -> Received | NotTrusted:
    """The message in the form; bindings section 3.5. The body's limit stands before any handler (`MorePages.larger`)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return NotTrusted("federation.malformed", "saml_form", "no form")
    body = await request.body()
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        return read_post(fields)
    except SamlMessageError as error:
        return not_trusted("federation.malformed", error)
    except ValueError:
        return NotTrusted("federation.malformed", "saml_form", "a form that cannot be read")
