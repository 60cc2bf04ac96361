"""What an answer of the Track API means: a table, and bodies good and bad."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import orjson
import pytest
from cio_sidecar.customerio.answers import (
    Answer,
    Outcome,
    classify,
    is_page,
    parts,
    reason,
    rejections,
    retry_after_seconds,
)
from hypothesis import example, given
from hypothesis import strategies as st

NOW = 1_445_412_480.0
"""Wed, 21 Oct 2015 07:28:00 GMT."""


class TestTheOutcomeOfAStatus:
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (200, Outcome.DELIVERED),
            (207, Outcome.PARTIAL),
            (400, Outcome.REJECTED),
            (302, Outcome.MISDIRECTED),
            (404, Outcome.NOT_FOUND),
            (405, Outcome.NOT_FOUND),
            (407, Outcome.MISDIRECTED),
            (410, Outcome.NOT_FOUND),
            (413, Outcome.REJECTED),
            (422, Outcome.REJECTED),
            (401, Outcome.UNAUTHORIZED),
            (403, Outcome.UNAUTHORIZED),
            (408, Outcome.RETRY),
            (425, Outcome.RETRY),
            (429, Outcome.RETRY),
            (500, Outcome.RETRY),
            (502, Outcome.RETRY),
            (503, Outcome.RETRY),
            (504, Outcome.RETRY),
            (599, Outcome.RETRY),
        ],
    )
    def test_is_the_designs(self, status: int, outcome: Outcome) -> None:
        assert classify(Answer(status)) is outcome

    @given(st.integers(100, 999))
    def test_that_nobody_documented_loses_nothing(self, status: int) -> None:
        outcome = classify(Answer(status))
        if outcome is Outcome.REJECTED:
            assert status in (400, 413, 422)
        if outcome is Outcome.DELIVERED:
            assert 200 <= status < 300
        if outcome is Outcome.PARTIAL:
            assert status == 207

    @pytest.mark.parametrize("status", [200, 207, 400, 403, 404, 422, 500, 302])
    @pytest.mark.parametrize(
        "page", [b"<!doctype html>", b"\r\n <html>", b"\xef\xbb\xbf<?xml version='1.0'?>"]
    )
    def test_is_none_of_the_apis_when_a_web_page_comes(self, status: int, page: bytes) -> None:
        answer = Answer(status, page)
        assert is_page(answer)
        assert classify(answer) is (Outcome.RETRY if status == 500 else Outcome.MISDIRECTED)

    def test_is_that_of_the_api_when_a_front_end_says_it_by_a_page(self) -> None:
        assert classify(Answer(401, b"<html>")) is Outcome.UNAUTHORIZED
        assert classify(Answer(413, b"<html>")) is Outcome.REJECTED


def partial(*errors: object) -> Answer:
    return Answer(207, orjson.dumps({"errors": errors}))


class TestThePartsOfABatchThatWereRejected:
    def test_are_named_by_their_index(self) -> None:
        answer = partial(
            {"batch_index": 0, "reason": "required", "field": "name", "message": "is required"},
            {"batch_index": 3, "reason": "invalid", "field": "timestamp", "message": "no number"},
        )
        assert rejections(answer, 4) == {0: "name: is required", 3: "timestamp: no number"}

    def test_tell_all_that_is_wrong_with_an_item(self) -> None:
        answer = partial(
            {"batch_index": 1, "reason": "required", "field": "name", "message": "is required"},
            {"batch_index": 0, "reason": "unknown", "field": "x", "message": "unknown key"},
            {"batch_index": 1, "reason": "invalid", "field": "id", "message": "no ULID"},
        )
        assert rejections(answer, 2) == {0: "x: unknown key", 1: "name: is required; id: no ULID"}

    def test_may_come_with_fewer_words(self) -> None:
        answer = partial(
            {"batch_index": 0},
            {"batch_index": 1, "reason": "required"},
            {"batch_index": 2, "field": "name"},
            {"batch_index": 3, "field": None, "message": "no"},
        )
        assert rejections(answer, 4) == {
            0: "no reason given",
            1: "required",
            2: "name: no reason given",
            3: "no",
        }

    @pytest.mark.parametrize("index", [-1, 2, 10**30, "0", 0.0, True, None, [0]])
    def test_are_unknown_when_an_index_is_no_place_of_the_batch(self, index: object) -> None:
        errors = [{"batch_index": 0, "message": "m"}, {"batch_index": index, "message": "m"}]
        body = json.dumps({"errors": errors}).encode()
        assert rejections(Answer(207, body), 2) is None

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"<html>",
            b"null",
            b"[]",
            b'"errors"',
            b"{}",
            b'{"errors":null}',
            b'{"errors":[]}',
            b'{"errors":{}}',
            b'{"errors":"all of them"}',
            b'{"errors":["the first"]}',
            b'{"errors":[null]}',
            b'{"errors":[{"message":"which one?"}]}',
            b'{"errors":[{"batch_index":0,"message":"m"}',
            b'\xff\xfe{"errors":[]}',
        ],
    )
    def test_are_unknown_when_the_body_does_not_say(self, body: bytes) -> None:
        assert rejections(Answer(207, body), 10) is None

    @pytest.mark.parametrize("index", [0, 7, None, "x"])
    def test_can_be_but_the_one_of_a_batch_of_one(self, index: object) -> None:
        answer = partial({"batch_index": index, "field": "name", "message": "is required"})
        assert rejections(answer, 1) == {0: "name: is required"}


class TestTheReasonOfARejection:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'{"meta":{"errors":["name is required"]}}', "HTTP 400: name is required"),
            (b'{"meta":{"errors":["one","two"]}}', "HTTP 400: one; two"),
            (b'{"meta":{"error":"no such person"}}', "HTTP 400: no such person"),
            (
                b'{"errors":[{"reason":"required","field":"name","message":"is required"}]}',
                "HTTP 400: name: is required",
            ),
            (
                b'{"errors":[{"reason":"malformed","field":"","message":"no JSON"},'
                b'{"reason":"invalid","field":"id"}]}',
                "HTTP 400: no JSON; id: invalid",
            ),
        ],
    )
    def test_is_in_the_servers_words(self, body: bytes, words: str) -> None:
        assert reason(Answer(400, body)) == words

    @pytest.mark.parametrize(
        "body", [b"", b"Bad Request", b"{}", b"[]", b"7", b'{"meta":7}', b'{"meta":{"errors":7}}']
    )
    def test_is_the_status_alone_where_there_are_no_words(self, body: bytes) -> None:
        assert reason(Answer(413, body)) == "HTTP 413"

    def test_reads_errors_beside_a_meta_that_has_none(self) -> None:
        body = b'{"meta":{"request_id":"r1"},"errors":[{"field":"name","message":"is required"}]}'
        assert reason(Answer(400, body)) == "HTTP 400: name: is required"

    def test_is_cut_to_a_thousand_characters(self) -> None:
        body = orjson.dumps({"meta": {"errors": ["long " * 100] * 100}})
        words = reason(Answer(400, body))
        assert len(words) == 1000
        assert words.startswith("HTTP 400: long long")

    @given(st.binary(max_size=80))
    def test_never_fails(self, body: bytes) -> None:
        assert reason(Answer(400, body)).startswith("HTTP 400")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["meta", "errors", "error", "batch_index", "field", "message"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=12,
        )
    )
    def test_never_fails_whatever_json_it_is(self, document: object) -> None:
        answer = Answer(207, orjson.dumps(document))
        assert reason(answer).startswith("HTTP 207")
        found = rejections(answer, 3)
        assert found is None or set(found) <= {0, 1, 2}
        assert found is None or parts(answer, 3).keys() == found.keys()


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class TestRetryAfter:
    def wait(self, header: str | None) -> float | None:
        return retry_after_seconds(Answer(429, b"", header), NOW)

    @pytest.mark.parametrize(
        ("header", "seconds"), [("0", 0.0), ("7", 7.0), (" 120 ", 120.0), ("007", 7.0)]
    )
    def test_may_be_seconds(self, header: str, seconds: float) -> None:
        assert self.wait(header) == seconds

    @pytest.mark.parametrize(
        "header",
        [
            "Wed, 21 Oct 2015 07:28:30 GMT",
            "Wednesday, 21-Oct-15 07:28:30 GMT",
            "Wed Oct 21 07:28:30 2015",
            "Wed, 21 Oct 2015 09:28:30 +0200",
        ],
    )
    @pytest.mark.usefixtures("far_from_greenwich")
    def test_may_be_a_date(self, header: str) -> None:
        assert self.wait(header) == 30.0

    def test_of_a_date_that_is_past_is_now(self) -> None:
        assert self.wait("Wed, 21 Oct 2015 07:27:59 GMT") == 0.0
        assert self.wait("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0

    @pytest.mark.parametrize(
        "header",
        [
            *(None, "", " ", "soon", "-5", "1.5", "1e3", "٣", "²"),
            "Wed, 99 Oct 2015 07:28:00 GMT",
            "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
            "1 Jan 2020 1:1:1 +99999999999999999",
        ],
    )
    def test_that_is_rubbish_is_none(self, header: str | None) -> None:
        assert self.wait(header) is None

    @given(st.text(max_size=60))
    @example("9" * 5000)
    @example("Mon, 01 Jan 0001 00:00:00 +2300")
    @example("Fri, 31 Dec 9999 23:59:59 -2300")
    def test_never_fails_and_is_never_negative(self, header: str) -> None:
        wait = self.wait(header)
        assert wait is None or wait >= 0
