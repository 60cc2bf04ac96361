"""The transforms, one by one."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from cio_sidecar.mapping.running.transforms import (
    ABSENT,
    TRANSFORMS,
    UNCHANGED,
    NoValue,
    device_platform,
    email_address,
    email_sha256,
    identifier,
    json_type,
    object_,
    text,
    text_or_number,
    text_values,
    unix_seconds,
)
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mapping.strategies import JSON

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_A_TIME = "expected an ISO 8601 date-time or Unix seconds, got "
SHA256 = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"  # user@example.com

OFFSETS = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda n: timezone(timedelta(minutes=n)))
DATETIMES = st.datetimes(
    min_value=datetime(2, 1, 1), max_value=datetime(5137, 12, 31), timezones=OFFSETS
)


def why(value: Any) -> str | None:
    assert isinstance(value, NoValue)
    return value.why


def test_tables_know_the_transforms_by_these_names() -> None:
    assert {
        "device_platform": device_platform,
        "email_address": email_address,
        "email_sha256": email_sha256,
        "identifier": identifier,
        "object": object_,
        "text": text,
        "text_or_number": text_or_number,
        "text_values": text_values,
        "unix_seconds": unix_seconds,
    } == TRANSFORMS


@pytest.mark.parametrize("name", TRANSFORMS)
@given(value=JSON | st.text("0123456789.+-:TZW ", max_size=30))
@example(value="1" * 5000)
@example(value="-" + "9" * 400 + ".5")
@example(value=1.7976931348623157e308)
@example(value=-(2**63))
@example(value="0001-01-01T00:00:00+23:59")
@example(value="9999-12-31T23:59:59-23:59")
def test_a_transform_takes_any_json_value_and_warns_or_gives_json(name: str, value: Any) -> None:
    result = TRANSFORMS[name](value)
    if isinstance(result, NoValue):
        assert result is ABSENT or (result.why or "").endswith("; ignored")
    elif name == "object":
        assert result is value
    elif name == "text_values":
        assert result.keys() == {key for key, item in value.items() if item is not None}
        assert all(type(item) is str for item in result.values())
    else:
        kinds = {"unix_seconds": (int, type(None)), "text_or_number": (int, str)}
        assert type(result) in kinds.get(name, (str, type(None)))


# unix_seconds


def _spellings(moment: datetime) -> list[str]:
    """ISO 8601 spellings of a moment."""
    iso = moment.isoformat()
    basic = moment.strftime("T%H%M%S.%f%z")
    day = f"{moment.year:04}{moment.month:02}{moment.day:02}"
    year, week, weekday = moment.isocalendar()
    spellings = [
        iso,
        iso.replace("T", " "),
        iso.lower(),
        f"  {iso}\n",
        moment.isoformat(timespec="microseconds"),
        moment.isoformat(timespec="microseconds").replace(".", ","),
        iso.replace("+00:00", "Z"),
        iso.replace("+00:00", "z"),
        day + basic,
    ]
    if 1 <= year <= 9999:
        spellings.append(f"{year:04}-W{week:02}-{weekday}T{moment.timetz().isoformat()}")
    return spellings


@given(DATETIMES)
def test_one_moment_in_any_iso_spelling_is_one_second(moment: datetime) -> None:
    expected = (moment - EPOCH) // timedelta(seconds=1)
    assert {unix_seconds(spelling) for spelling in _spellings(moment)} == {expected}


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(5137, 12, 31)))
def test_a_moment_without_an_offset_is_utc(moment: datetime) -> None:
    assert unix_seconds(moment.isoformat()) == unix_seconds(moment.isoformat() + "Z")


@given(st.dates(max_value=date(5137, 12, 31)))
def test_a_day_alone_is_its_first_second(day: Any) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert unix_seconds(day.isoformat()) == (midnight - EPOCH) // timedelta(seconds=1)


@given(st.integers(1, 999_999_999), st.integers(1, 10))
def test_a_fraction_of_any_length_is_floored(nanoseconds: int, digits: int) -> None:
    fraction = f"{nanoseconds:09}"[:digits].ljust(digits, "0")
    assert unix_seconds(f"2023-10-01T12:00:00.{fraction}Z") == 1696161600
    assert unix_seconds(f"1969-12-31T23:59:58.{fraction}Z") == -2


UNITS = (1, 10**3, 10**6, 10**9)


@given(st.integers(10**9, 9_999_999_999), st.data())
def test_seconds_and_their_fractions_as_whole_numbers_agree(
    seconds: int, data: st.DataObject
) -> None:
    for unit in UNITS:
        number = seconds * unit + data.draw(st.integers(0, unit - 1))
        assert unix_seconds(number) == seconds
        assert unix_seconds(str(number)) == seconds
        assert unix_seconds(f" +{number} ") == seconds
        # The floor of a negative number lies below it.
        below = -seconds - (number % unit != 0)
        assert unix_seconds(-number) == below
        assert unix_seconds(str(-number)) == below


@given(st.floats(-6.2e10, 9.9e10))
def test_a_number_below_the_milliseconds_is_floored(number: float) -> None:
    assert unix_seconds(number) == math.floor(number)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (99_999_999_999, 99_999_999_999),
        (100_000_000_000, 100_000_000),
        (99_999_999_999_999, 99_999_999_999),
        (100_000_000_000_000, 100_000_000),
        (99_999_999_999_999_999, 99_999_999_999),
        (100_000_000_000_000_000, 100_000_000),
        (1696161600123.9, 1696161600),
        (0, 0),
        (-0.0, 0),
        (-0.5, -1),
        ("-0.5", -1),
        ("-0.0", 0),
        ("-1", -1),
        ("1696161599.999999999", 1696161599),
        ("-1696161599.000000001", -1696161600),
        ("1696161599999999999.5", 1696161599),
        (2**63 - 1, 9223372036),
        ("20231001T120000Z", 1696161600),
        ("2023-10-01T12:00+05:30", 1696141800),
    ],
)
def test_the_unit_of_a_number_is_told_by_its_magnitude(value: Any, seconds: int) -> None:
    assert unix_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        10**21,
        -(10**21),
        1e300,
        "9" * 30,
        "1" * 5000,
        "9" * 99 + ".1",
        "0001-01-01T00:00:00+00:01",
        "5138-11-16T09:46:40Z",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_time_beyond_the_calendar_is_no_value(value: Any) -> None:
    assert why(unix_seconds(value)) == NOT_A_TIME + "a time outside the years 1 to 5138; ignored"


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("soon", "other text"),
        ("2023-02-29", "other text"),
        ("12:00", "other text"),
        ("01/10/2023", "other text"),
        ("1e9", "other text"),
        ("0x10", "other text"),
        ("1.", "other text"),
        ("٣", "other text"),
        (True, "a boolean"),
        ([5], "a list"),
        ({}, "an object"),
    ],
)
def test_what_is_no_time_is_no_value_and_says_what_came(value: Any, got: str) -> None:
    assert why(unix_seconds(value)) == f"{NOT_A_TIME}{got}; ignored"


@pytest.mark.parametrize("value", ["", " ", "\n\t"])
def test_a_blank_time_is_absent_without_a_word(value: str) -> None:
    assert unix_seconds(value) is ABSENT


# The others


@pytest.mark.parametrize(
    ("transform", "value", "result"),
    [
        (identifier, "u1", "u1"),
        (identifier, " u1 ", " u1 "),
        (identifier, 0, "0"),
        (identifier, -5, "-5"),
        (identifier, 9007199254740993, "9007199254740993"),
        (identifier, 5.0, "5"),
        (identifier, 2.0**53, "9007199254740992"),
        (text, " Order  Completed\n", "Order  Completed"),
        (email_address, " Ann@Example.com ", "Ann@Example.com"),
        (email_sha256, " User@Example.COM\n", SHA256),
        (email_sha256, "not an address", hashlib.sha256(b"not an address").hexdigest()),
        (email_sha256, " " + SHA256.upper(), SHA256),
        (email_sha256, SHA256[1:], hashlib.sha256(SHA256[1:].encode()).hexdigest()),
        (email_sha256, "ÄÖ@example.com", hashlib.sha256("äö@example.com".encode()).hexdigest()),
    ],
)
def test_a_value_becomes_what_its_transform_says(transform: Any, value: Any, result: Any) -> None:
    assert transform(value) == result


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        *((identifier, value) for value in (None, "", "  ", "\u2003")),
        *((text, value) for value in (None, "", "  ")),
        (object_, None),
        *((email_sha256, value) for value in ("", " ")),
        *(
            (email_address, value)
            for value in (None, 5, "", "ann", "ann@localhost", "a b@c.de", "@c.de", "a@b@c.de")
        ),
    ],
)
def test_what_is_blank_or_unlike_is_absent_without_a_word(transform: Any, value: Any) -> None:
    assert transform(value) is ABSENT


@pytest.mark.parametrize("transform", [unix_seconds, email_sha256])
def test_null_stays_null_where_it_unsets_an_attribute(transform: Any) -> None:
    assert transform(None) is None


@pytest.mark.parametrize(
    ("transform", "value", "message"),
    [
        (identifier, True, "expected text or a whole number, got a boolean; ignored"),
        (identifier, 5.5, "expected text or a whole number, got a fraction; ignored"),
        (identifier, 2.0**54, "expected text or a whole number, got a number; ignored"),
        (identifier, [1], "expected text or a whole number, got a list; ignored"),
        (text, 5, "expected text, got a number; ignored"),
        (text, {}, "expected text, got an object; ignored"),
        (object_, [], "expected an object, got a list; ignored"),
        (object_, "x", "expected an object, got text; ignored"),
        (email_sha256, False, "expected an email address, got a boolean; ignored"),
    ],
)
def test_a_value_of_the_wrong_type_is_ignored_with_a_warning(
    transform: Any, value: Any, message: str
) -> None:
    assert why(transform(value)) == message


@given(st.text())
def test_a_hash_is_that_of_the_trimmed_lower_cased_text(value: str) -> None:
    result = email_sha256(value)
    if not value.strip():
        assert result is ABSENT
    else:
        assert result == email_sha256(f" {value.strip().lower()} ")
        assert email_sha256(result) == result


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.0, "a number"),
        (1.5, "a fraction"),
        ("", "text"),
        ([], "a list"),
        ({}, "an object"),
        (set(), "something that is not JSON"),
    ],
)
def test_a_type_has_its_json_name(value: Any, name: str) -> None:
    assert json_type(value) == name


@given(st.sampled_from(sorted(UNCHANGED)), JSON | st.text(" \t\n\u00a0\u2003x", max_size=4))
@example("text", "x ")
@example("identifier", " ")
def test_what_meets_the_condition_of_a_transform_is_left_as_it_is(name: str, value: Any) -> None:
    if eval(UNCHANGED[name], {"v": value}):
        assert TRANSFORMS[name](value) is value


@pytest.mark.parametrize(
    ("name", "value"), [("identifier", "u-1"), ("object", {}), ("text", "Order Completed")]
)
def test_what_is_usual_meets_the_condition_of_its_transform(name: str, value: Any) -> None:
    assert eval(UNCHANGED[name], {"v": value})
