"""Gathered data of an invented campaign, as the database gives them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop.calibrated import calibrated

START = datetime(2026, 5, 4, 9, 30)
QUANTITIES = ("energy_per_atom_eV", "forces_eV_per_A", "stress_GPa", "magnetic_forces_eV_per_muB")


def sample(rounds: int = 4, labels_per_round: int = 8, atoms: int = 16) -> dict[str, Any]:
    """Return data of a campaign that converged after `rounds` rounds."""
    random = np.random.default_rng(7)
    campaign = Campaign(name="fe-pd-sample")
    labels = [
        _label(random, number, k, atoms)
        for number, k in enumerate(k for k in range(rounds) for _ in range(labels_per_round * (3 if k == 0 else 1)))
    ]
    potentials = [_potential(k) for k in range(rounds)]
    volumes = [_volume(a) for a in (3.6, 3.65, 3.7, 3.75, 3.8)]
    return {
        "campaign": {
            "name": campaign.name,
            "created": START,
            "finished": START + timedelta(minutes=11),
            "stop": "converged",
            "explanation": "no trajectory selects anything any more",
            "settings": campaign.document(),
            "code_version": "0.1.0",
        },
        "iterations": [_round(k, rounds, [x for x in labels if x["iteration"] == k]) for k in range(rounds)],
        "potentials": potentials,
        "calibration": calibrated(potentials, volumes),
        "spectra": [],
        "cells": [{"lattice_parameter_A": 3.7, "atoms": atoms}],
        "experiment": [],
        "labels": labels,
        "md_runs": [
            {
                "number": 4 * k + j,
                "iteration": k,
                "potential": k + 1,
                "state": "completed" if k else "extrapolated",
                "steps": 1000,
                "max_grade": float(12 * 0.45**k * (1 + 0.2 * random.random())),
                "n_candidates": 3,
                "message": "",
                "wall_seconds": 4.0,
                "lattice_parameter_A": a,
                "temperature_K": 300.0,
                "magnetic_order": "ferromagnetic",
            }
            for k in range(rounds)
            for j, a in enumerate((3.65, 3.7, 3.75, 3.8))
        ],
        "properties": [_property(source, a) for source in ("mmtp", "reference") for a in (3.6, 3.65, 3.7, 3.75, 3.8)],
        "unusable": [],
        "failures": [
            {
                "action": "fe-pd-sample/001/md/a3.8",
                "owner": "node7:4711",
                "message": "EngineError: lost",
                "given_up": False,
            }
        ],
        "conclusion": {
            "headline": "converged, not validated because 3.6 Å extrapolated: grade 2.13 above γ select = 2",
            "verdict": "converged, not validated",
            "reasons": ["3.6 Å extrapolated: grade 2.13 above γ select = 2"],
            "volumes": volumes,
        },
        "summary": {
            "magnetization_mae_muB_per_atom": 0.0061,
            "pressure_mae_GPa": 0.212,
            "held_out_magnetization_mae_muB_per_atom": 0.011,
            "held_out_pressure_mae_GPa": 0.4,
            "labels_accepted": 46,
            "labels_rejected": 2,
            "labels_failed": 0,
            "scf_runs": 301,
            "iterations": rounds,
            "md_steps": 36000,
            "wall_seconds": 660.0,
            "potential": rounds,
        },
    }


def _volume(a: float) -> dict[str, Any]:
    held_out = a == 3.6
    mine, its = _property("mmtp", a), _property("reference", a)
    differences = {
        name: {
            "difference": mine[name] - its[name], "statistical": 0.003, "model": spread, "allowed": 3.1 * spread,
            "inside": True, "can_fail": True,
        }
        for name, spread in (("magnetization_muB_per_atom", 0.002), ("pressure_GPa", 0.05))
    }  # fmt: skip
    return {
        "lattice_parameter_A": a,
        "held_out": held_out,
        "verdict": "extrapolated" if held_out else "inside both",
        "reason": "grade 2.13 above γ select = 2" if held_out else "",
        "max_grade": 2.13 if held_out else 1.2,
        "differences": differences,
    }


def _label(random: np.random.Generator, number: int, iteration: int, atoms: int) -> dict[str, Any]:
    symbols = ["Fe"] * (2 * atoms // 3) + ["Pd"] * (atoms - 2 * atoms // 3)
    target = np.where(np.array(symbols) == "Fe", 2.6, 0.3) * random.choice([1, 1, 1, -1], atoms)
    target = target + 0.3 * random.normal(size=atoms)
    reached = target + 0.03 * random.normal(size=atoms)
    good = number % 17 != 3
    return {
        "configuration": number + 1,
        "iteration": iteration,
        "formula": "Fe10Pd6",
        "origin": "MD step 420, potential 2" if iteration else "fcc",
        "grade_at_selection": 3.1 if iteration else None,
        "status": "accepted" if good else "rejected",
        "reason": "MAE 0.021 μB and maximum 0.080 μB are inside the limits"
        if good
        else "largest λ reached; MAE 0.31 μB is too far from the target to be useful <script>",
        "rule": "criteria_met",
        "quality": "A" if good else None,
        "lambda_eV_per_muB2": float(random.choice([5, 10, 25])) if good else 50.0,
        "mae_muB": float(np.mean(np.abs(reached - target))) if good else 0.31,
        "max_deviation_muB": float(np.max(np.abs(reached - target))) if good else 0.9,
        "bias_meV_per_atom": 0.4 if good else None,
        "scf_runs": 6,
        "wall_seconds": 3.0,
        "symbols": symbols,
        "target_muB": target.tolist(),
        "moments_muB": reached.tolist(),
    }


def _round(k: int, rounds: int, labels: list[dict[str, Any]]) -> dict[str, Any]:
    accepted = sum(label["status"] == "accepted" for label in labels)
    return {
        "iteration": k,
        "generated": len(labels) if k == 0 else 0,
        "selected": 0 if k == rounds - 1 else 8,
        "accepted": accepted,
        "rejected": len(labels) - accepted,
        "failed": 0,
        "open": 0,
        "scf_runs": 6 * len(labels),
        "md_runs": 4,
        "md_completed": 4 if k else 0,
        "md_steps": 4000,
        "candidates": 0 if k == rounds - 1 else 60,
        "max_grade": 12 * 0.45**k,
        "potential": k + 1,
    }


def _potential(k: int) -> dict[str, Any]:
    sizes = (0.003, 0.05, 0.4, 0.06)
    errors = {
        name: {"mae": 0.8 * size * 0.7**k, "rmse": size * 0.7**k, "max": 4 * size, "r2": 0.99}
        for name, size in zip(QUANTITIES, sizes, strict=True)
    }
    validation = {name: {key: 1.4 * value for key, value in item.items()} for name, item in errors.items()}
    return {
        "version": k + 1,
        "iteration": k,
        "parent": k or None,
        "role": "version",
        "level": 8,
        "n_parameters": 297,
        "training": 22 + 8 * k,
        "validation": 2,
        "errors": errors,
        "validation_errors": validation,
        "fit": {"wall_seconds": 30.0, "surprise": _surprise(k)},
        "created": START + timedelta(minutes=2 * k + 2),
    }


def _surprise(k: int) -> dict[str, Any] | None:
    """Return what the labels of a round say of the potential before: errors about as large as it stated."""
    if not k:
        return None
    random, sizes = np.random.default_rng(k), (0.002, 0.06, 0.3, 0.02)
    pairs = {}
    for name, size in zip(QUANTITIES, sizes, strict=True):
        stated = size * random.uniform(0.5, 2.0, 6)
        pairs[name] = {"errors": (stated * random.uniform(0.4, 1.8, 6)).tolist(), "uncertainties": stated.tolist()}
    return {"of": k, "labels": [f"{k}-{j}/settings" for j in range(6)], "pairs": pairs}


def _property(source: str, a: float) -> dict[str, Any]:
    shift = 0.006 * np.sin(40 * a) if source == "mmtp" else 0.0
    return {
        "source": source,
        "lattice_parameter_A": a,
        "held_out": a == 3.6,
        "potential": 4 if source == "mmtp" else None,
        "magnetization_muB_per_atom": 1.75 + 1.1 * (a - 3.6) + shift,
        "magnetization_muB_per_atom_error": 0.004,
        "pressure_GPa": 55 * (3.73 - a) / 0.13 * 0.2 + 20 * shift,
        "pressure_GPa_error": 0.08,
        "spread": {"magnetization_muB_per_atom": 0.002, "pressure_GPa": 0.05} if source == "mmtp" else {},
        "md_steps": 2000,
        "outcome": "done",
    }
