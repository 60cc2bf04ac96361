from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest
from cio_conformance.cases.golden_cases import FixtureError, load_fixtures, parse_fixtures, select
from cio_conformance.cases.settings import SETTINGS, Settings, options_of
from cio_sidecar.mapping_options import MappingOptions

from tests.conformance.toy import CASES


def mistakes(text: str) -> str:
    with pytest.raises(FixtureError) as caught:
        parse_fixtures(text, "toy.yaml")
    return str(caught.value)


def test_the_suites_own_fixtures_can_be_read() -> None:
    names = [golden.name for golden in load_fixtures()]
    assert len(names) == len(set(names)) > 400


def test_an_unknown_key_is_named_with_its_line() -> None:
    text = CASES.replace("  - name: a visit\n", "  - name: a visit\n    profil: standard\n")
    assert mistakes(text) == (
        "toy.yaml:15: case 'a visit': profil: there is no such key; did you mean profile?"
    )


def test_a_missing_key_is_named_with_the_line_of_its_case() -> None:
    assert mistakes(CASES.replace("  - name: a visit\n    event", "  - event")) == (
        "toy.yaml:14: cases.1.name: is missing"
    )


def test_a_case_with_both_ends_is_rejected() -> None:
    text = CASES.replace("    reject:", "    expect: {v1: [], v2: []}\n    reject:")
    assert mistakes(text) == (
        "toy.yaml:24: case 'nobody': has both expect and reject; a case has exactly one of them"
    )


def test_a_case_with_no_end_is_rejected() -> None:
    text = CASES.replace("    reject: [{field: userId, reason: NO_PERSON}]\n", "")
    assert mistakes(text) == (
        "toy.yaml:24: case 'nobody': has neither expect nor reject; a case has exactly one of them"
    )


def test_two_cases_of_one_name_are_rejected() -> None:
    assert mistakes(CASES.replace("a visit", "a purchase")) == (
        "toy.yaml:14: case 'a purchase': line 3 has a case of this name already; rename one"
    )


def test_a_value_of_the_wrong_type_is_shown() -> None:
    assert mistakes(CASES.replace("name: a visit", "name: 5")) == (
        "toy.yaml:14: cases.1.name: expected text, got 5"
    )


WRONG_THROUGHOUT = """\
famly: toy
settings: {dates: unix}
cases:
  - name: a
    event: {type: page, n: {$repeat: x}}
  - name: 5
    event: {type: page, n: {$numbered: x}}
    reject: []
    expect: {v1: [], v2: [{method: GET, path: /a, body: {}}]}
  - name: a
    profile: documentd
    event: {}
    warnings: [x]
    reject: [{field: x, reason: ""}]
"""


@pytest.mark.parametrize(
    "mistake",
    [
        "1: family: is missing",
        "1: famly: there is no such key",
        "2: settings.dates: expected as_is or",
        "4: case 'a': has neither expect nor reject",
        "5: case 'a': event.n: expected {$repeat",
        "6: cases.1.name: expected text",
        "6: cases.1: has both expect and reject",
        "7: cases.1.event.n: expected {$repeat",
        "8: cases.1.reject: expected at least one entry",
        "9: cases.1.expect.v2.0.method: expected POST",
        "9: cases.1.expect: v1 has no request, but v2 has",
        "10: case 'a': line 4 has a case of this name",
        "10: case 'a': has warnings, but",
        "11: case 'a': profile: expected documented",
        "14: case 'a': reject.0.reason: expected text that",
    ],
)
def test_every_mistake_of_a_file_is_told_with_the_others(mistake: str) -> None:
    told = mistakes(WRONG_THROUGHOUT).splitlines()
    assert len(told) == 15
    assert [line for line in told if line.startswith(f"toy.yaml:{mistake}")]


def test_text_that_is_not_yaml_is_named_with_its_line() -> None:
    assert mistakes("family: toy\ncases: [\n").startswith("toy.yaml:")


def test_short_forms_are_written_out() -> None:
    text = CASES.replace(
        "{total: 5}", "{$merge: [{$numbered: k, count: 2}, {text: {$repeat: ab, times: 2}}]}", 1
    )
    event = parse_fixtures(text, "toy.yaml")[0].case.event
    assert event["properties"] == {"k0": 0, "k1": 1, "text": "abab"}


@pytest.mark.parametrize(
    "wrong",
    [
        "{$repeat: x, tmes: 3}",
        "{$repeat: x, times: many}",
        "{$repeat: x, times: -1}",
        "{$repeat: x, times: true}",
        "{$repeat: x, times: 1000000000000}",
        "{$numbered: k, count: 1000000000000}",
        "{$merge: [5]}",
    ],
)
def test_a_misspelt_short_form_is_rejected(wrong: str) -> None:
    assert mistakes(CASES.replace("{total: 5}", wrong, 1)).startswith(
        "toy.yaml:5: case 'a purchase': event.properties: expected {$repeat: text, times: number}"
    )


def test_a_familys_settings_are_text_by_name_in_order() -> None:
    settings = (
        "settings: {limits: truncate, deny_traits: [ssn, address.street], identify_timestamp: true}"
    )
    (golden, *_) = parse_fixtures(f"{settings}\n{CASES}", "toy.yaml")
    assert golden.settings == (
        ("deny_traits", "ssn,address.street"),
        ("identify_timestamp", "true"),
        ("limits", "truncate"),
    )
    assert parse_fixtures(CASES, "toy.yaml")[0].settings == ()


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "site_id",
        "listen",
        "data_dir",
        "base_url",
        "profile",
        "api",
        "overlay",
    ],
)
def test_a_setting_that_a_fixture_may_not_change_is_rejected_with_those_it_may(name: str) -> None:
    text = f"{CASES}settings:\n  event_id: ulid\n  {name}: x\n"
    line = len(text.splitlines())
    assert mistakes(text) == (
        f"toy.yaml:{line}: settings.{name}: there is no such key; there are event_id, dates, "
        "identify_timestamp, email, allow_traits, deny_traits, allow_properties, deny_properties, "
        "limits, keep_device_events"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("event_id: ullid", 'expected as_is or ulid, got "ullid"'),
        ("dates: seconds", 'expected as_is or unix_seconds, got "seconds"'),
        ("email: true", "expected plain or hash_only, got true"),
        ("limits: [reject]", 'expected reject or truncate, got ["reject"]'),
        ("limits:", "expected reject or truncate, got nothing"),
        ("identify_timestamp: yes", 'expected true or false, got "yes"'),
        ("keep_device_events: 1", "expected true or false, got 1"),
        ("deny_traits: 5", "expected names, as a list or separated by commas, got 5"),
        ("allow_traits: []", "expected names, as a list or separated by commas, got []"),
        ('deny_properties: [a, ""]', 'expected names, as a list or separated by commas, got ["a"'),
        ("allow_properties: {a: b}", 'expected names, as a list or separated by commas, got {"a"'),
        ('deny_traits: ","', "expected names, separated by commas"),
        ("deny_traits: [a b]", "'a b' is no path: expected a dot at character 2"),
        ("deny_traits: [traits.ssn]", "name keys alone, without what holds them: ssn"),
        ("evnt_id: ulid", "there is no such key; did you mean event_id?"),
    ],
)
def test_a_setting_that_the_sidecar_would_not_take_is_rejected(setting: str, expected: str) -> None:
    name = setting.partition(":")[0]
    assert mistakes(f"settings:\n  {setting}\n{CASES}").startswith(
        f"toy.yaml:2: settings.{name}: {expected}"
    )


def test_device_events_are_kept_where_the_profile_knows_them_alone() -> None:
    text = CASES.replace("  - name: a visit\n", "  - name: a visit\n    profile: documented\n")
    parse_fixtures(f"{text}settings: {{keep_device_events: false}}\n", "toy.yaml")
    assert mistakes(f"{text}settings: {{keep_device_events: true}}\n") == (
        "toy.yaml:15: case 'a visit': profile: with keep_device_events expected standard, which "
        "knows device events"
    )


def test_the_settings_of_a_fixture_are_those_of_the_mapping() -> None:
    hints = get_type_hints(Settings)
    assert {name: hints[name] for name in SETTINGS} == get_type_hints(MappingOptions)
    assert options_of(Settings().texts()) == MappingOptions()


@pytest.mark.parametrize(
    "names", ["[ssn, address.street]", "'ssn, address.street'", "' ssn,,address.street'"]
)
def test_names_are_taken_apart_as_the_sidecar_does(names: str) -> None:
    (golden, *_) = parse_fixtures(f"settings: {{deny_traits: {names}}}\n{CASES}", "toy.yaml")
    assert golden.settings == (("deny_traits", "ssn,address.street"),)
    assert options_of(golden.settings).deny_traits == ("ssn", "address.street")


def test_a_folder_without_fixtures_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="expected a folder with fixture files"):
        load_fixtures(tmp_path / "none")


def test_mistakes_of_all_files_and_a_family_held_twice_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CASES)
    (tmp_path / "b.yaml").write_text(CASES)
    (tmp_path / "c.yaml").write_text("family: c\n")
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    (tmp_path / "e.yaml").write_text("family: toy\n")
    with pytest.raises(FixtureError) as caught:
        load_fixtures(tmp_path)
    assert str(caught.value).splitlines() == [
        "b.yaml: a.yaml has the family toy already; rename one",
        "c.yaml:1: cases: is missing",
        "d.yaml: can't be read: it is not UTF-8",
        "e.yaml: a.yaml has the family toy already; rename one",
        "e.yaml:1: cases: is missing",
    ]


def test_cases_are_selected_by_family_and_name_in_whatever_case() -> None:
    goldens = parse_fixtures(CASES, "toy.yaml")
    assert [golden.case.name for golden in select(goldens, "TOY: a ")] == ["a purchase", "a visit"]
    assert select(goldens, None) == goldens


BOTH = "expect: {v1: [], v2: []}"


def case(text: str) -> str:
    """A file with one case, whose lines after its name these are; the case stands in line 3."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return f"family: f\ncases:\n  - name: c\n{lines}"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "",
            "f.yaml:1: expected an object with the keys family, doc, needs, settings, cases, but "
            "the file is empty",
        ),
        (
            "# nothing yet\n",
            "f.yaml:1: expected an object with the keys family, doc, needs, settings, cases, but "
            "the file is empty",
        ),
        ("[]\n", "f.yaml:1: expected an object, got []"),
        ("family: f\ncases: []\n", "f.yaml:2: cases: expected at least one entry, got []"),
        ("family: f\ncases:\n", "f.yaml:2: cases: expected a list, got nothing"),
        (
            "family: ' f'\ncases: [{name: n, event: {}, expect: {v1: [], v2: []}}]\n",
            'f.yaml:1: family: expected text of one line without blanks around it, got " f"',
        ),
        ("family: f\nfamily: g\n", "f.yaml:2: the key 'family' stands twice"),
        (
            case(f"{BOTH}\nevent: {{type: page}}\nevent: {{type: page}}"),
            "f.yaml:6: the key 'event' stands twice",
        ),
        (case(BOTH), "f.yaml:3: case 'c': event: is missing"),
        (case(f"event:\n{BOTH}"), "f.yaml:4: case 'c': event: expected an object, got nothing"),
        (
            case("event: {}\nexpect:"),
            "f.yaml:5: case 'c': expect: expected an object with v1 and v2, got nothing",
        ),
        (case("event: {}\nexpect: {v1: []}"), "f.yaml:5: case 'c': expect.v2: is missing"),
        (
            case("event: {}\nexpect: {v1: [{method: PUT, path: /a, body: {}}], v2: []}"),
            "f.yaml:5: case 'c': expect: v2 has no request, but v1 has: what the one API carries "
            "reaches Customer.io by the other too",
        ),
        (
            case("event: {}\nreject: []"),
            "f.yaml:5: case 'c': reject: expected at least one entry, got []",
        ),
        (
            case("event: {}\nreject: [{field: a, reason: ''}]"),
            "f.yaml:5: case 'c': reject.0.reason: expected text that is not empty, got \"\"",
        ),
        (
            case("event: {}\nwarnings: [a]\nreject: [{field: a, reason: R}]"),
            "f.yaml:3: case 'c': has warnings, but an event that is rejected gets none",
        ),
        (
            case(f"event: {{}}\n{BOTH}\nprofile: documentd"),
            "f.yaml:6: case 'c': profile: expected documented or standard, got \"documentd\"",
        ),
        (
            case(
                "event: {}\nexpect: {v1: [{method: GET, path: a, body: {}}],"
                " v2: [{method: PUT, path: /a, body: {}}]}"
            ),
            "f.yaml:5: case 'c': expect.v1.0.method: expected POST, PUT or DELETE, got \"GET\"\n"
            "f.yaml:5: case 'c': expect.v1.0.path: expected a path that begins with /, got \"a\"",
        ),
        (
            case(
                "event: {}\nexpect:\n  v1: [{method: PUT, path: /a, body: {}}]\n  v2:\n"
                "    - {method: PUT, path: /a, body: {ratio: .nan}}"
            ),
            "f.yaml:8: case 'c': expect.v2.0.body.ratio: expected what JSON can hold: no request "
            "holds NaN or infinity",
        ),
        (
            case(f"event: {{}}\n{BOTH}\nwarnings: {{$numbered: k, count: 2}}"),
            "f.yaml:6: case 'c': warnings: $numbered is for what stands in event or body",
        ),
        (
            case(f"event: {{}}\n{BOTH}\nxyz: it must"),
            "f.yaml:6: case 'c': xyz: there is no such key; there are name, origin, covers, "
            "profile, event, expect, warnings, reject",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_case(text: str, mistake: str) -> None:
    with pytest.raises(FixtureError) as caught:
        parse_fixtures(text, "f.yaml")
    assert str(caught.value) == mistake
