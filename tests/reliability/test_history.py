"""One person's history in a run is told from the records that the run has kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from reliability.history import history, main
from reliability.ledger import (
    Arrival,
    DeadLetter,
    Hindrance,
    Sent,
    Writer,
    read_hindrances,
    write_hindrance,
)
from reliability.plan import FAULT_RECORD, LEDGER, RECORD

EVENTS = {
    "b": Sent("b", "bob", 1, fate="acked", sent_at=100.0, told_at=100.1),
    "a1": Sent("a1", "ann", 1, fate="acked", sent_at=101.0, told_at=101.5),
    "a2": Sent("a2", "ann", 2, poison=True, fate="acked", sent_at=102.0, told_at=102.5),
    "a3": Sent("a3", "ann", 3, sent_at=103.0),
}


def test_all_that_is_known_of_a_person_stands_in_the_order_of_time() -> None:
    told = history(
        "ann",
        EVENTS,
        [Arrival("b", 100.2, True), Arrival("a1", 101.2, False), Arrival("a1", 104.0, True)],
        [DeadLetter("a2", "HTTP 400")],
        [Hindrance("term", 90.0, 91.0), Hindrance("kill", 101.3, 101.4)],
    )
    assert told == [
        "     1.000 s  1 sent, a1",
        "     1.200 s  1 arrived, its answer broken or late",
        "     1.300 s  -- kill, for 0.100 s",
        "     1.500 s  1 acknowledged",
        "     2.000 s  2 sent, a2 (rejected by Customer.io)",
        "     2.500 s  2 acknowledged",
        "     3.000 s  3 sent, a3",
        "     4.000 s  1 arrived again",
        "              2 is a dead letter: HTTP 400",
        "              3 was not heard of",
    ]


def test_of_nobody_nothing_is_told() -> None:
    assert history("eve", EVENTS, [], [], []) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run leaves."""
    writer = Writer(tmp_path / LEDGER)
    writer.sent([Sent("a", "ann", 1), Sent("x", "ann", 2, poison=True)])
    writer.told([("a", "acked")])
    writer.close()
    (tmp_path / RECORD).write_bytes(orjson.dumps({"id": "a", "at": 1e12, "clean": True}))
    write_hindrance(tmp_path / FAULT_RECORD, Hindrance("freeze", 0.0, 1e13))
    data = tmp_path / "data"
    data.mkdir()
    db = sqlite3.connect(data / "queue.sqlite3")
    db.execute("CREATE TABLE dead_letters (message_id TEXT, reason TEXT)")
    db.execute("INSERT INTO dead_letters VALUES ('x', 'HTTP 400: a bad event')")
    db.commit()
    db.close()
    return tmp_path


def test_the_command_reads_what_a_run_has_kept(folder: Path) -> None:
    result = CliRunner().invoke(main, [str(folder), "ann"])
    assert result.exit_code == 0, result.output
    for words in ("1 sent, a", "1 acknowledged", "1 arrived", "-- freeze", "2 is a dead letter"):
        assert words in result.output


def test_the_command_names_people_where_nobody_is_called_so(folder: Path) -> None:
    result = CliRunner().invoke(main, [str(folder), "eve"])
    assert result.exit_code == 2
    assert "nobody of the run is 'eve'; there are ann" in result.output


def test_the_command_rejects_a_folder_of_something_else(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "ann"])
    assert result.exit_code == 2
    assert "it has no ledger.ndjson" in result.output


def test_hindrances_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    assert read_hindrances(path) == []
    written = [Hindrance("kill", 1.0, 2.0), Hindrance("clock", 3.0, 4.0)]
    for each in written:
        write_hindrance(path, each)
    assert read_hindrances(path) == written
