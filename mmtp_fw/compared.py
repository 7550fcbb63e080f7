"""The averages in which a potential is compared with its reference at every volume: one row each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compared:
    """An average.

    Attributes
    ----------
    name : str
        As results and documents call it; ``<name>_error`` is its statistical error.
    mean_error : str
        What the mean absolute error over volumes is called.
    title, unit : str
    zero : float
        What counts as zero however small its uncertainty: 0 against 0 can't fail, an antiferromagnet's magnetization
        for instance, and says nothing about a potential.
    widest : float
        An uncertainty that allows more says nothing either.
    decimals : int
        For tables.
    needed : bool
        Whether nothing can be judged without it. Averages of earlier versions lack what is not.
    stands_for : str
        Name of a row that may be zero everywhere, as an antiferromagnet's magnetization, where this one can fail.
    """

    name: str
    mean_error: str
    title: str
    unit: str
    zero: float
    widest: float
    decimals: int
    needed: bool = True
    stands_for: str = ""

    def both_zero(self, one: float, other: float) -> bool:
        """Whether a comparison of these two could not have failed."""
        return max(abs(one), abs(other)) <= self.zero


_ROWS = (
    Compared(
        "magnetization_muB_per_atom", "magnetization_mae_muB_per_atom", "magnetization", "μB/atom",
        zero=1e-3, widest=0.1, decimals=4,
    ),
    Compared("pressure_GPa", "pressure_mae_GPa", "pressure", "GPa", zero=0.0, widest=2.0, decimals=3),
    Compared(
        "absolute_moment_muB_per_atom", "absolute_moment_mae_muB_per_atom", "mean size of a moment", "μB/atom",
        zero=1e-3, widest=0.1, decimals=4, needed=False, stands_for="magnetization_muB_per_atom",
    ),
)  # fmt: skip
COMPARED: dict[str, Compared] = {row.name: row for row in _ROWS}
"""All of them by name."""
NEEDED = tuple(row.name for row in _ROWS if row.needed)
"""Those that averages of every version have."""
