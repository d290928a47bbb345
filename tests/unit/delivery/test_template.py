"""The request template: values reach the service as they are, and nothing else does."""

import json
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.delivery.sms.template import IDEMPOTENCY_HEADER, HttpRequestSettings, check_request, fill, fill_request, places_in
from wardgate.errors import SettingsError

URL = "https://sms.acme.test/send"
VALUES = {"number": "+905321234567", "text": "123456 is your code", "id": "m1", "secret": "k", "username": "u"}
# Everything that can be encoded: surrogates cannot, and are refused before.
texts = st.text(st.characters(codec="utf-8"), max_size=200)
hostile_texts = st.one_of(
    texts,
    st.sampled_from(
        [
            '"',
            '","admin":true,"x":"',
            "\r\nX-Evil: 1",
            "&to=%2B1",
            "{secret}",
            "{number}{id}",
            "../..",
            "..",
            "?a=b#c",
            "%7Bsecret%7D",
            "\\",
            "\x00",
        ]
    ),
)


def request(**fields: object) -> HttpRequestSettings:
    """A template with `url` given."""
    return HttpRequestSettings(**{"url": URL, **fields})  # type: ignore[arg-type]


def values(text: str) -> dict[str, str]:
    """Values with this text."""
    return {**VALUES, "text": text}


# --- nothing is injected ----------------------------------------------------------------------------------------------


@given(hostile_texts)
def test_a_text_cannot_break_out_of_a_json_string(text: str) -> None:
    template = request(json={"to": "{number}", "list": ["a", {"body": "{text}"}], "flag": True, "n": 3, "none": None})
    filled = fill_request(template, values(text))
    assert filled.content is not None
    assert json.loads(filled.content) == {
        "to": "+905321234567",
        "list": ["a", {"body": text}],
        "flag": True,
        "n": 3,
        "none": None,
    }


@given(hostile_texts)
def test_a_text_cannot_add_a_field_to_a_form(text: str) -> None:
    filled = fill_request(request(form={"to": "{number}", "text": "{text}", "empty": ""}), values(text))
    assert filled.content is not None
    fields = parse_qsl(filled.content.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert fields == [("to", "+905321234567"), ("text", text), ("empty", "")]


@given(hostile_texts)
def test_a_text_cannot_add_a_parameter_to_a_query(text: str) -> None:
    template = request(method="GET", url=URL + "?v=2&t={text}", query={"to": "{number}", "text": "x {text}"})
    filled = fill_request(template, values(text))
    parts = urlsplit(filled.url)
    assert parse_qs(parts.query, keep_blank_values=True) == {
        "v": ["2"],
        "t": [text],
        "to": ["+905321234567"],
        "text": ["x " + text],
    }
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "sms.acme.test", "/send", "")


@given(hostile_texts)
def test_a_text_cannot_climb_out_of_its_path_segment_or_change_the_host(text: str) -> None:
    filled = fill_request(request(url="https://sms.acme.test/a/{text}/b/{number}"), values(text))
    seen = httpx.Request("POST", filled.url).url
    assert (seen.scheme, seen.host, seen.port, seen.query, seen.fragment) == ("https", "sms.acme.test", None, b"", "")
    segments = seen.raw_path.decode("ascii").split("/")
    assert [unquote(segment) for segment in segments] == ["", "a", text, "b", "+905321234567"]


@given(hostile_texts)
def test_a_text_is_never_searched_for_places(text: str) -> None:
    assert fill("{text}|{secret}", {**VALUES, "text": text, "secret": "{text}"}) == f"{text}|{{text}}"


def test_headers_cannot_carry_the_text() -> None:
    with pytest.raises(SettingsError, match=r"gateways\.sms\.request\.headers\.X-Text: \{text\}"):
        check_request("sms", request(headers={"X-Text": "{text}"}, json=["{number}{text}"]), has_secret=False, has_username=False)


# --- the idempotency key ----------------------------------------------------------------------------------------------


def test_the_id_travels_as_idempotency_key_unless_a_header_names_it() -> None:
    plain = fill_request(request(json=["{number}", "{text}"]), VALUES)
    assert dict(plain.headers)[IDEMPOTENCY_HEADER] == "m1"
    named = fill_request(request(headers={"X-Request-Id": "wg-{id}"}, json=["{number}", "{text}"]), VALUES)
    assert dict(named.headers)["X-Request-Id"] == "wg-m1"
    assert IDEMPOTENCY_HEADER not in dict(named.headers)


def test_an_idempotency_key_that_is_always_the_same_is_refused() -> None:
    with pytest.raises(SettingsError, match="same one"):
        check_request(
            "sms", request(headers={"idempotency-key": "fixed"}, json=["{number}{text}"]), has_secret=False, has_username=False
        )


# --- the body ---------------------------------------------------------------------------------------------------------


def test_the_content_type_follows_the_body_and_may_be_overridden() -> None:
    assert dict(fill_request(request(json=["{text}"]), VALUES).headers)["Content-Type"] == "application/json"
    form = fill_request(request(form={"t": "{text}"}), VALUES)
    assert dict(form.headers)["Content-Type"] == "application/x-www-form-urlencoded"
    own = fill_request(request(json=["{text}"], headers={"content-type": "application/vnd.acme+json"}), VALUES)
    assert [value for name, value in own.headers if name.lower() == "content-type"] == ["application/vnd.acme+json"]


def test_a_get_has_no_body() -> None:
    assert fill_request(request(method="GET", query={"to": "{number}", "text": "{text}"}), VALUES).content is None


def test_places_are_found_everywhere() -> None:
    assert places_in({"a": ["{number}", {"b": "x {text} {id}"}], "{c}": 3}) == {"number", "text", "id", "c"}


# --- templates that are refused ---------------------------------------------------------------------------------------

BOTH = ["{number}", "{text}"]


@pytest.mark.parametrize(
    ("fields", "setting", "cure"),
    [
        ({"url": "sms.acme.test/send"}, "request.url", "https://"),
        ({"url": "ftp://sms.acme.test/"}, "request.url", "https://"),
        ({"url": "https://"}, "request.url", "host"),
        ({"url": "https://sms.acme.test:99999/"}, "request.url", "port"),
        ({"url": "https://[::1/"}, "request.url", "host"),
        ({"url": "https://sms.acme.test/a b"}, "request.url", "spaces"),
        ({"url": "https://sms.acme.test/\r\nX: 1"}, "request.url", "spaces"),
        ({"url": "http://sms.acme.test/send"}, "request.url", "in clear"),
        ({"url": "http://10.0.0.7/send"}, "request.url", "in clear"),
        ({"url": "http://127.0.0.1.evil.test/send"}, "request.url", "in clear"),
        ({"url": "https://{number}.acme.test/"}, "request.url", "never in the host"),
        ({"url": "https://sms.acme.test:{id}/"}, "request.url", "port"),
        ({"url": "https://key:pass@sms.acme.test/"}, "request.url", "use a header"),
        ({"url": "https://sms.acme.test/#x"}, "request.url", "fragment"),
        ({"url": "https://sms.acme.test/" + "a" * 9000}, "request.url", "8000"),
        ({"method": "DELETE"}, "request.method", "POST, PUT, GET"),
        ({"method": "GET"}, "request.method", "no body"),
        ({"form": {"a": "b"}}, "request", "keep one"),
        ({"headers": {"A b": "c"}}, "request.headers", "letters"),
        ({"headers": {"X-{id}": "c"}}, "request.headers", "never in a name"),
        ({"headers": {"X-A": "c\r\nX-B: d"}}, "request.headers.X-A", "one line"),
        ({"headers": {"X-A": "ü"}}, "request.headers.X-A", "ASCII"),
        ({"headers": {"Host": "evil.test"}}, "request.headers.Host", "leave it out"),
        ({"headers": {"Content-Length": "3"}}, "request.headers.Content-Length", "leave it out"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "request.headers", "twice"),
        ({"headers": {f"X-{n}": "1" for n in range(51)}}, "request.headers", "50"),
        ({"query": {"a": 3}}, "request.query", "quotes"),
        ({"query": {"{number}": "x"}}, "request.query", "never in a name"),
        ({"json": [{"{text}": "x"}, BOTH]}, "request.json", "value only"),
        ({"json": [BOTH, float("inf")]}, "request.json", "finite"),
        ({"json": [BOTH, b"x"]}, "request.json", "bytes"),
        ({"json": {"to": "{number}"}}, "request", "{text}"),
        ({"json": {"text": "{text}"}}, "request", "{number}"),
        ({"json": [*BOTH, "{code}"]}, "request", "{code}"),
        ({"json": [*BOTH, "{secret}"]}, "secret", "missing"),
        ({"json": [*BOTH, "{username}"]}, "username", "missing"),
    ],
)
def test_a_template_that_cannot_work_is_refused_by_name(fields: dict[str, object], setting: str, cure: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_request("sms", request(**{"json": BOTH, **fields}), has_secret=False, has_username=False)
    assert caught.value.message.startswith(f"gateways.sms.{setting}: ")
    assert cure in caught.value.message


def test_json_that_is_nested_too_deep_is_refused() -> None:
    nested: object = BOTH
    for _ in range(30):
        nested = [nested]
    with pytest.raises(SettingsError, match="nested"):
        check_request("sms", request(json=nested), has_secret=False, has_username=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/send", "http://[::1]:8080/send", "http://localhost/send", URL])
def test_plain_http_is_for_this_machine_only(url: str) -> None:
    check_request("sms", request(url=url, json=BOTH), has_secret=False, has_username=False)


def test_a_secret_that_is_given_but_not_used_is_noticed() -> None:
    with pytest.raises(SettingsError, match=r"gateways\.sms\.secret: is given"):
        check_request("sms", request(json=BOTH), has_secret=True, has_username=False)
