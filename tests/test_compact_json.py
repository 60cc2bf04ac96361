"""JSON as bytes that are kept."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import orjson
import pytest
from cio_sidecar import compact_json
from hypothesis import given

from tests.mapping.strategies import JSON


@given(JSON)
def test_it_is_what_orjson_gives(value: Any) -> None:
    assert compact_json.dumps(value) == orjson.dumps(value)


def test_what_can_not_be_written_is_rejected_as_orjson_does() -> None:
    with pytest.raises(TypeError):
        compact_json.dumps({1, 2})


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc tells")
def test_it_takes_no_more_memory_than_it_needs() -> None:
    size_of = ctypes.CDLL(None).malloc_usable_size
    size_of.argtypes, size_of.restype = [ctypes.c_void_p], ctypes.c_size_t
    made = compact_json.dumps({"note": "x" * 1000})
    assert size_of(id(made)) < 2 * len(made)
