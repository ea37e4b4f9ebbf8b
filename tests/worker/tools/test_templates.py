"""Requests as they go out: each value escaped for its place, and no value decides where they go."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.tools import HttpTool, Tool
from voicefleet_worker.tools.templates import RefusedError, build_request, check_host, take_from_answer

URL = "https://shop.example.com/orders"


def tool(**http: Any) -> Tool:
    properties = {"id": {"type": "string"}, "count": {"type": "integer"}}
    spec = {"url": URL, **http}
    return Tool.model_validate(
        {"name": "t", "description": "d", "parameters": {"type": "object", "properties": properties}, "http": spec}
    )


def built(arguments: dict[str, object], **http: Any) -> Any:
    it = tool(**http)
    assert isinstance(it.http, HttpTool)
    return build_request(it, it.http, arguments, {"caller": "Ada Okonkwo", "account": "a-1"})


@pytest.mark.parametrize(
    ("http", "where", "sent"),
    [
        ({"url": f"{URL}/{{{{id}}}}"}, "url", f"{URL}/x%2F..%3Fa%3D1"),
        ({"query": {"q": "{{id}}"}}, "query", (("q", "x/..?a=1"),)),
        ({"headers": {"X-Caller": "{{caller}}"}}, "headers",
         (("X-Caller", "Ada Okonkwo"), ("Content-Type", "application/json"))),
        ({}, "body", '{"id": "x/..?a=1", "count": 2}'),
        ({"body": '{"order": "{{id}}", "n": {{count}}}'}, "body", '{"order": "x/..?a=1", "n": 2}'),
        ({"body": "id={{id}}", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "body",
         "id=x%2F..%3Fa%3D1"),
        ({"body": "{{id}} for {{nobody}}", "headers": {"Content-Type": "text/plain"}}, "body", "x/..?a=1 for "),
        ({"body": "id={{id}}", "headers": {"content-type": "application/x-www-form-urlencoded"}}, "body",
         "id=x%2F..%3Fa%3D1"),
        ({"body": "<id>{{id}}</id>", "headers": {"Content-Type": "text/xml"}}, "body", "<id>x/..?a=1</id>"),
        ({"body": '{"all": {{id}}, "none": {{nobody}}, "n": "{{count}}"}'}, "body",
         '{"all": "x/..?a=1", "none": null, "n": "2"}'),
        ({"method": "GET"}, "body", None),
    ],
    ids=["url", "query", "header", "arguments as JSON", "JSON", "form", "plain, and who is not known",
         "a header in small letters", "XML", "JSON outside of quotes", "GET"],
)  # fmt: skip
def test_values_are_escaped_for_their_place(http: dict[str, Any], where: str, sent: object) -> None:
    assert getattr(built({"id": "x/..?a=1", "count": 2}, **http), where) == sent


def test_what_the_tool_does_not_declare_the_model_cannot_say() -> None:
    """A caller may talk a model into anything, and so into another one's account."""
    request = built({"id": "1", "account": "a-2"}, body='{"account": "{{account}}", "id": "{{id}}"}')

    assert json.loads(request.body) == {"account": "a-1", "id": "1"}
    assert json.loads(built({"id": "1", "account": "a-2"}).body) == {"id": "1"}


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert json.loads(built({"id": "{{account}}"}).body) == {"id": "{{account}}"}
    assert json.loads(built({"id": "{{account}}"}, body='{"id": "{{id}}"}').body) == {"id": "{{account}}"}


def test_a_header_stays_one_header() -> None:
    with pytest.raises(RefusedError, match="line break"):
        built({"id": "1\r\nX-Admin: yes"}, headers={"X-Id": "{{id}}"})


def test_two_names_beside_each_other_lead_nowhere_else() -> None:
    with pytest.raises(RefusedError, match="no name"):
        built({"id": "."}, url=f"{URL}/{{{{id}}}}{{{{id}}}}/status")


def test_no_text_becomes_markup() -> None:
    body = built({"id": "1</id><admin/>"}, body="<id>{{id}}</id>", headers={"Content-Type": "application/xml"}).body

    assert body == "<id>1&lt;/id&gt;&lt;admin/&gt;</id>"


@given(st.text())
def test_no_text_breaks_out_of_a_json_body(text: str) -> None:
    body = json.loads(built({"id": text}, body='{"id": "{{id}}", "admin": false}').body)

    assert body == {"id": text, "admin": False}


@given(st.text())
def test_no_text_leads_to_another_host_or_path(text: str) -> None:
    if text in ("", ".", ".."):
        with pytest.raises(RefusedError, match="no name"):
            built({"id": text}, url=f"{URL}/{{{{id}}}}/status")
        return
    url = built({"id": text}, url=f"{URL}/{{{{id}}}}/status").url

    check_host(url, f"{URL}/{{{{id}}}}/status", ())
    assert url.startswith(f"{URL}/")
    assert url.count("/") == 5
    assert "?" not in url
    assert "#" not in url


@pytest.mark.parametrize(
    ("url", "allowed", "may"),
    [
        ("https://shop.example.com/x", (), True),
        ("https://other.example.com/x", (), False),
        ("https://other.example.com/x", ("*.example.com",), True),
        ("https://SHOP.example.com:8443/x", ("shop.example.com",), True),
        ("https://shop.example.com/x", ("api.example.com",), False),
        ("https://shop.example.com.evil.test/x", ("*.example.com",), False),
        ("https://shop.example.com@evil.test/x", (), False),
    ],
)
def test_only_hosts_that_somebody_allowed_are_reached(url: str, allowed: tuple[str, ...], *, may: bool) -> None:
    try:
        check_host(url, URL, allowed)
    except RefusedError:
        assert not may
    else:
        assert may


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.order.status", "sent"),
        ("order.items[1].name", "tea"),
        ("$.order.total", "9.5"),
        ("$.order.paid", "true"),
        ("$.order.items", '[{"name": "mug"}, {"name": "tea"}]'),
        ("$.order.items[9]", None),
        ("$.nobody.knows", None),
        ("$.order.status.more", None),
    ],
)
def test_values_are_taken_from_answers(path: str, value: str | None) -> None:
    order = {"status": "sent", "total": 9.5, "paid": True, "items": [{"name": "mug"}, {"name": "tea"}]}

    assert take_from_answer({"order": order}, path) == value


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"status": NaN}', None),
        ('{"status": [1e999]}', None),
        ('{"status": "sent \\ud83d"}', "sent ?"),
        ('{"status": ["\\ud83d"]}', '["?"]'),
        ('{"status": null}', None),
    ],
    ids=["no number", "too large a number", "half of a character", "half of one inside", "nothing"],
)
def test_what_nobody_could_send_fills_nothing(answer: str, value: str | None) -> None:
    assert take_from_answer(json.loads(answer), "$.status") == value
