"""What identifies a person, told apart by its shape."""

import pytest
from cio_sidecar.customerio.encoders import identifiers


@pytest.mark.parametrize(
    ("person", "kind"),
    [
        ("u1", "id"),
        ("cio_1a", "cio_id"),
        ("a@b.co", "email"),
        ("a@b..co", "email"),
        ("a@.b.co", "email"),
        ("a@b.co.", "email"),
        ("a@..b", "email"),
        ("a@b.", "id"),
        ("a@.b", "id"),
        ("a@bc", "id"),
        ("@b.co", "id"),
        ("a@b@c.d", "id"),
        ("a b@c.d", "id"),
        ("a@b.c d", "id"),
    ],
)
def test_identifiers_by_shape(person: str, kind: str) -> None:
    assert [*identifiers(person)] == [kind]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("person", ["a@" + "." * 1_000_000 + " x", "cio_" + "a" * 1_000_000 + "-"])
def test_identifiers_takes_linear_time(person: str) -> None:
    assert identifiers(person) == {"id": person}
