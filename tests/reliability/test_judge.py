"""The judge of the reliability runs finds whatever is wrong: it is given runs that are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from reliability.command import chosen
from reliability.judge import Verdict, judge
from reliability.ledger import Arrival, DeadLetter, Interruptions, Sent, Writer, read
from reliability.plan import Sample
from reliability.report import growth_percent, quarters
from reliability.wire import SPELL_REASON


def sent(*events: Sent) -> dict[str, Sent]:
    return {event.id: event for event in events}


A1 = Sent("a1", "ann", 1, fate="acked")
A2 = Sent("a2", "ann", 2, fate="acked")
A3 = Sent("a3", "ann", 3, fate="acked")
B1 = Sent("b1", "bob", 1, fate="acked")
BAD = Sent("bad", "bob", 2, poison=True, fate="acked")
NOBODY = Sent("no", "bob", 3, fate="rejected")
UNHEARD = Sent("un", "bob", 4)


def arrivals(*ids: str, clean: bool = True) -> list[Arrival]:
    return [Arrival(id_, float(place), clean) for place, id_ in enumerate(ids)]


def verdict_of(
    events: Sequence[Sent],
    came: Sequence[Arrival],
    dead: Sequence[DeadLetter] = (),
    interruptions: Interruptions | None = None,
) -> Verdict:
    return judge(sent(*events), came, dead, interruptions or Interruptions())


def test_a_good_run_is_good() -> None:
    found = verdict_of(
        [A1, A2, B1, BAD, NOBODY, UNHEARD],
        arrivals("a1", "b1", "a2"),
        [DeadLetter("bad", "HTTP 400")],
    )
    assert found.good
    assert (found.sent, found.acknowledged, found.delivered) == (6, 4, 3)
    assert (found.dead_letters, found.rejected, found.repeats) == (1, 1, 0)


def test_what_nobody_heard_of_may_have_come_or_not() -> None:
    assert verdict_of([UNHEARD], arrivals("un")).good
    assert verdict_of([UNHEARD], []).good


def test_an_acknowledged_event_that_is_nowhere_is_lost() -> None:
    found = verdict_of([A1, A2], arrivals("a1"))
    assert found.lost == ["ann's 2 (a2) was acknowledged, and is nowhere"]
    assert not found.good


def test_a_repeat_without_a_reason_is_a_duplicate() -> None:
    found = verdict_of([A1], arrivals("a1", "a1"))
    assert found.duplicated == ["ann's 1 (a1) came again 1.000 s after it was taken and answered"]
    assert not found.good


def test_a_repeat_after_a_broken_answer_is_none() -> None:
    found = verdict_of([A1], arrivals("a1", "a1", clean=False))
    assert found.good
    assert found.repeats == 1


@pytest.mark.parametrize(("span", "good"), [((0.5, 0.6), True), ((2.0, 3.0), False)])
def test_a_repeat_is_excused_by_an_interruption_between_the_two(
    span: tuple[float, float], *, good: bool
) -> None:
    assert verdict_of([A1], arrivals("a1", "a1"), (), Interruptions([span])).good is good


def test_an_event_before_an_earlier_one_of_the_person_is_out_of_order() -> None:
    found = verdict_of([A1, A2, B1], arrivals("a2", "b1", "a1"))
    assert "ann: 2 came before 1 (first arrivals)" in found.disordered
    assert not found.good


def test_a_late_repeat_alone_is_out_of_order_and_a_repeat_of_all_that_followed_is_not() -> None:
    late = arrivals("a1", "a2", "a1", clean=False)
    assert verdict_of([A1, A2], late).disordered == ["ann: 2 came before 1 (last arrivals)"]
    assert verdict_of([A1, A2], arrivals("a1", "a2", "a1", "a2", clean=False)).good


def test_a_gap_does_not_hide_a_wrong_order() -> None:
    unheard = Sent("a2", "ann", 2)
    assert verdict_of([A1, unheard, A3], arrivals("a3", "a1")).disordered


@pytest.mark.parametrize(
    ("events", "came", "dead", "words"),
    [
        ([], ["x"], [], "x was taken, and never sent"),
        ([], [], ["x"], "x is a dead letter, and was never sent"),
        ([A1], [], ["a1"], "is a good event, and died: why"),
        ([BAD], ["bad"], [], "is rejected permanently, and was taken"),
        ([BAD], [], ["bad", "bad"], "is a dead letter twice"),
        ([NOBODY], ["no"], [], "was rejected to the caller, and delivered"),
        ([A1], ["a1"], ["a1"], "was taken, and is a dead letter too"),
    ],
)
def test_anything_else_that_is_wrong_is_named(
    events: list[Sent], came: list[str], dead: list[str], words: str
) -> None:
    found = verdict_of(events, arrivals(*came), [DeadLetter(id_, "why") for id_ in dead])
    assert any(words in problem for problem in found.wrong)
    assert not found.good


def test_a_dead_letter_needs_a_reason() -> None:
    assert verdict_of([BAD], [], [DeadLetter("bad", "")]).wrong


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    writer = Writer(path)
    writer.sent([Sent("a", "ann", 1), Sent("b", "bob", 1, poison=True)])
    writer.told([("a", "acked")])
    writer.close()
    assert read(path) == sent(Sent("a", "ann", 1, fate="acked"), Sent("b", "bob", 1, poison=True))
    assert writer.counts == {"sent": 2, "acked": 1, "rejected": 0}


def test_faults_are_chosen_by_name() -> None:
    assert chosen("kill,cut") == ("kill", "cut")
    assert "kill" not in chosen("all,-kill")
    assert len(chosen("all,-kill")) == len(chosen("all")) - 1
    assert chosen("-kill") == chosen("all,-kill")
    assert chosen("kill,-kill") == chosen("") == ()


def test_the_memory_of_a_quarter_is_its_median() -> None:
    samples = [Sample(float(at), at, None, {}) for at in range(1, 101)]
    assert quarters(samples) == [13, 37, 62, 88]


def test_memory_grows_from_the_second_quarter_to_the_last() -> None:
    assert growth_percent([1, 200, 500, 210]) == 5.0
    assert growth_percent([0, 0, 0, 0]) is None


def test_judge_allows_rejections_of_a_spell_up_to_the_breaker() -> None:
    letters = [DeadLetter("a1", f"HTTP 404: {SPELL_REASON}"), DeadLetter("a2", SPELL_REASON)]
    came = arrivals("b1")
    found = judge(sent(A1, A2, B1), came, letters, Interruptions(), may_reject=1)
    assert found.good
    assert found.rejected_in_spells == 2
    too_many = [*letters, DeadLetter("b1", SPELL_REASON)]
    found = judge(sent(A1, A2, B1), [], too_many, Interruptions(), may_reject=1)
    assert found.wrong == [
        "good events of 2 persons were rejected in spells and are dead letters, the circuit "
        "breaker allows 1"
    ]


@pytest.mark.parametrize(("clean", "good"), [(True, False), (False, True)])
def test_judge_allows_a_rejection_after_an_answer_that_was_lost(clean: bool, good: bool) -> None:
    came = arrivals("a1", clean=clean)
    found = judge(sent(A1), came, [DeadLetter("a1", SPELL_REASON)], Interruptions(), may_reject=1)
    assert found.good == good


def test_judge_allows_a_repeat_whose_next_is_rejected() -> None:
    came = [*arrivals("a1", "a2", clean=False), Arrival("a1", 2.0, clean=True)]
    found = judge(
        sent(A1, A2), came, [DeadLetter("a2", SPELL_REASON)], Interruptions(), may_reject=1
    )
    assert found.good
