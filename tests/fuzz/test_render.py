"""Arbitrary values as events: rendered or rejected, never an exception."""

from typing import Any

from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.errors import FIELD_CHARACTERS, MOST_VIOLATIONS
from cio_sidecar.mapping.event import EVENT_TYPES, unfit
from cio_sidecar.renderer import Rejected, Renderer
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.support import FUZZ

RENDERER = Renderer(load_profile("standard"))

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=8), inner, max_size=6)
    ),
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(EVENT_TYPES) | VALUES,
        "messageId": st.just("m"),
        "receivedAt": VALUES,
    },
    optional=dict.fromkeys(
        (
            "userId",
            "anonymousId",
            "timestamp",
            "event",
            "name",
            "groupId",
            "previousId",
            "properties",
            "traits",
            "context",
            "integrations",
        ),
        VALUES,
    ),
)


@FUZZ
@given(EVENTS)
def test_render_any_event_is_rendered_or_rejected(event: dict[str, Any]) -> None:
    rendered = RENDERER.render(event)
    if isinstance(rendered, Rejected):
        assert rendered.violations


@FUZZ
@given(VALUES)
def test_unfit_any_value_is_reported_within_bounds(value: Any) -> None:
    found = unfit({"properties": value})
    assert len(found) <= MOST_VIOLATIONS + 1
    assert all(len(violation.field) <= FIELD_CHARACTERS for violation in found)
