"""Which fits a round needs: random starts for the first potential, members of an ensemble around the last."""

from __future__ import annotations

from collections.abc import Sequence

from mmtp_fw.loop.facts import Action, Fact, Facts, Kind

MEMBER_PRIORITY = 20
VERSION, MEMBER = "version", "member"
"""Roles of a potential: one that molecular dynamics may run with, or one that only measures uncertainty."""


def fits_of_round(facts: Facts, iteration: int, parent: int | None, after: tuple[str, ...]) -> list[Action]:
    """Return the fits of a round: one from its parent or the campaign's start, or `fit.starts` from random ones."""
    params = {"parent": parent, "role": VERSION}
    starts = facts.campaign.fit.starts if parent is None and facts.campaign.start_from.potential is None else 1
    subjects = [f"start-{k}" for k in range(starts)] if starts > 1 else [""]
    return [facts.action(iteration, Kind.FIT, subject, params, after) for subject in subjects]


def best_of(fits: Sequence[Fact]) -> Fact | None:
    """Return the fit of smallest loss that made a potential, the first of equal ones; None when every fit failed."""
    made = [fit for fit in fits if not fit.failed and fit.potential is not None]
    return min(made, key=lambda fit: fit.loss, default=None)


def members(facts: Facts, iteration: int, potential: int) -> list[Action]:
    """Return the fits of the other members of the ensemble that `potential` belongs to."""
    params = {"parent": potential, "role": MEMBER, "of": potential}
    return [
        facts.action(iteration, Kind.FIT, subject, params, priority=MEMBER_PRIORITY)
        for k in range(1, facts.campaign.fit.ensemble)
        for subject in [facts.subject(iteration, Kind.FIT, f"member-{k}", potential)]
    ]
