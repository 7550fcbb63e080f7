"""When a campaign has learnt enough, or may not go on."""

from __future__ import annotations

from enum import StrEnum

from mmtp_fw.loop.facts import Facts

FAILURES_COUNT_FROM = 10
"""Labels from which on the fraction of failures is looked at."""


class StopReason(StrEnum):
    """Why the learning ended; properties and report follow in every case with a potential."""

    CONVERGED = "converged"
    ITERATIONS = "max_iterations"
    LABELS = "max_labels"
    SCF_RUNS = "max_scf_runs"
    FAILURES = "too_many_failed_labels"
    STALLED = "no_new_labels"
    MD_BROKEN = "md_ends_early_without_candidates"
    NO_LABELS = "no_label_accepted"
    PRETRAIN_FAILED = "pretraining_failed"
    FIT_FAILED = "fit_failed"
    SELECTION_FAILED = "selection_failed"
    HOLES = "holes"


EXPLANATIONS = {
    StopReason.CONVERGED: "no trajectory selects anything any more",
    StopReason.ITERATIONS: "budget.max_iterations is spent",
    StopReason.LABELS: "budget.max_labels is spent",
    StopReason.SCF_RUNS: "budget.max_scf_runs is spent",
    StopReason.FAILURES: "more labels failed or were rejected than budget.max_failed_fraction allows",
    StopReason.STALLED: "the selected configurations gave no accepted label, "
    "budget.max_stalled_iterations times in a row",
    StopReason.MD_BROKEN: "trajectories end early and yet select nothing, budget.max_stalled_iterations times in a row",
    StopReason.NO_LABELS: "no label of the pretraining set was accepted",
    StopReason.PRETRAIN_FAILED: "the pretraining set could not be generated",
    StopReason.FIT_FAILED: "the potential could not be fitted",
    StopReason.SELECTION_FAILED: "the selection failed",
    StopReason.HOLES: "the potential falls, within reach of the campaign's temperatures, where it was not trained, and "
    "no label has closed that hole",
}
"""One line for the user by reason."""


def explain(stop: str | None) -> str | None:
    """Return one line on a reason to stop."""
    try:
        return EXPLANATIONS[StopReason(stop)] if stop else None
    except ValueError:
        return stop


def budget_stop(facts: Facts, iteration: int) -> StopReason | None:
    """Return why no MD of `iteration` may be started, or None.

    The budget is looked at once per round, after the fit, so that every label that was paid for has been
    used.
    """
    budget = facts.campaign.budget
    spent = facts.spent_until(iteration)
    if spent.labels >= FAILURES_COUNT_FROM and spent.bad > budget.max_failed_fraction * spent.labels:
        return StopReason.FAILURES
    if iteration >= budget.max_iterations:
        return StopReason.ITERATIONS
    if spent.labels >= budget.max_labels:
        return StopReason.LABELS
    if spent.scf_runs >= budget.max_scf_runs:
        return StopReason.SCF_RUNS
    return None
