"""Whatever computes a value, plain data come out."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import pytest
from ruamel.yaml import YAML

from mmtp_fw.plain import plain


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ({1: (np.int64(2), [np.array([3.0])])}, {"1": [2, [[3.0]]]}),
        (Colour.RED, "red"),
        (True, True),
        (None, None),
        (b"\0", b"\0"),
    ],
)
def test_plain(value, expected):
    found = plain(value)
    assert found == expected and type(found) is type(expected)


def test_what_is_none_of_these_stays():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert plain([moment])[0] is moment


def test_round_trip_values_of_yaml():
    data = YAML().load("a: 1\nb: [1.50, 0x1F, yes, 'x']\nc: {d: 1e3}\n")
    found = plain(data)
    assert found == {"a": 1, "b": [1.5, 31, "yes", "x"], "c": {"d": 1000.0}}
    assert type(found) is dict and type(found["b"]) is list
    assert [type(item) for item in found["b"]] == [float, int, str, str]
