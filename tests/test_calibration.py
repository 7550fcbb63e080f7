"""Errors beside the uncertainties that were stated for them: medians, coverage and curves worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtp_fw.calibration import calibration, calibrations
from mmtp_fw.errors import InputError


def test_by_hand():
    found = calibration([1.0, -2.0, 3.0, 4.0, 10.0], [2.0, 2.0, 2.0, 2.0, 2.0])
    assert found.median == 1.5 and found.count == 5 and found.undetermined == 0
    assert found.coverage == {"1": 0.4, "2": 0.8, "4": 0.8}
    (only,) = found.curve
    assert (only.uncertainty, only.error, only.low, only.high, only.count) == (pytest.approx(2.0), 3.0, 2.0, 4.0, 5)
    assert found.calibrated is None, "five pairs calibrate nothing"


def test_curve_rises_with_the_uncertainty_and_has_four_pairs_a_bin():
    u = np.repeat([4.0, 1.0, 2.0], 4)
    found = calibration(3.0 * u, u, bins=6)
    assert [(round(one.uncertainty, 12), one.error, one.count) for one in found.curve] == [
        (1.0, 3.0, 4), (2.0, 6.0, 4), (4.0, 12.0, 4),
    ]  # fmt: skip
    assert len(calibration(u, u, bins=2).curve) == 2
    assert found.calibrated is False


@pytest.mark.parametrize(("ratio", "calibrated"), [(0.69, False), (0.71, True), (1.39, True), (1.41, False)])
def test_the_bar_is_the_median(ratio, calibrated):
    assert calibration(np.full(8, ratio), np.ones(8)).calibrated is calibrated
    assert calibration(np.full(7, ratio), np.ones(7)).calibrated is None


def test_normal_errors_have_the_coverage_that_is_written():
    errors = 1.4826 * np.random.default_rng(3).normal(size=200_000)  # whose median size is 1
    found = calibration(errors, np.ones(len(errors)))
    assert found.median == pytest.approx(1.0, abs=0.01)
    assert [found.coverage[k] for k in "124"] == pytest.approx([0.50, 0.82, 0.993], abs=0.005)


def test_undetermined_is_counted_and_not_compared():
    found = calibration([1e6, 1.0], [np.inf, 1.0])
    assert (found.undetermined, found.count, found.median) == (1, 1, 1.0)
    nothing = calibration([5.0], [np.inf])
    assert nothing.median is None and nothing.curve == () and nothing.coverage == {} and nothing.calibrated is None


def test_an_error_beside_no_uncertainty_is_never_covered():
    found = calibration([0.0, 1e-9], [0.0, 0.0])
    assert found.coverage == {"1": 0.5, "2": 0.5, "4": 0.5}


def test_each_quantity_by_its_name_as_a_document():
    found = calibrations({"forces": ([1.0], [1.0]), "energy": ([], [])})
    assert list(found) == ["forces", "energy"] and found["energy"].count == 0
    document = json.loads(json.dumps(found["forces"].document()))
    assert document["median"] == 1.0 and document["curve"][0]["count"] == 1


@pytest.mark.parametrize(
    ("errors", "u"),
    [([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([np.nan], [1.0]), ([np.inf], [1.0]), ([1.0], [np.nan]), ([1.0], [-1.0])],
)
def test_nonsense_is_refused(errors, u):
    with pytest.raises(InputError):
        calibration(errors, u)
