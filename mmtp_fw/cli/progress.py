"""The progress of a campaign: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mmtp_fw.cli.output import cell, console, duration, pairs, table
from mmtp_fw.labelling import ACCEPTED, FAILED, LABEL_STATES, OPEN, REJECTED
from mmtp_fw.quantities import QUANTITIES

if TYPE_CHECKING:
    from mmtp_fw.database import Database
    from mmtp_fw.loop.planner import Position


class Progress:
    """Shows where a campaign stands, for as long as the context lasts.

    Parameters
    ----------
    database : Database
    campaign_id : str
    quiet : bool
        Show nothing.
    """

    def __init__(self, database: Database, campaign_id: str, quiet: bool = False) -> None:
        self.database = database
        self.campaign_id = campaign_id
        self.quiet = quiet
        self._started = time.monotonic()
        self._line = ""
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        screen = console()
        if not self.quiet and screen.is_terminal:
            self._live = Live(Text("starting …"), console=screen, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)

    def update(self, position: Position) -> None:
        """Show the newest state; failures of the database are left to the run itself."""
        if self.quiet:
            return
        from pymongo.errors import PyMongoError

        from mmtp_fw.report import snapshot

        try:
            state = snapshot(self.database, self.campaign_id)
        except PyMongoError:
            return
        if self._live is not None:
            self._live.update(panel(state, time.monotonic() - self._started))
            return
        line = summary_line(state)
        if line != self._line:
            self._line = line
            print(f"{duration(time.monotonic() - self._started):>13}  {line}", flush=True)


def summary_line(state: dict[str, Any]) -> str:
    """Return a campaign's state (see `mmtp_fw.report.snapshot`) in one line."""
    labels, potential = state["labels"], state["potential"]
    parts = [f"iteration {state['iteration']}"]
    if state["held"] is not None:
        parts.append(state["held"]["state"])
    elif state["complete"]:
        parts.append("finished")
    else:
        open_kinds = sorted(state["due"].items(), key=lambda item: item[0] != state["phase"])
        parts.append(", ".join(f"{kind} ({count} open)" for kind, count in open_kinds) or state["phase"])
    parts.append(
        f"labels {labels[ACCEPTED]} {ACCEPTED}" + (f", {labels[REJECTED]} {REJECTED}" if labels[REJECTED] else "")
    )
    if labels[FAILED]:
        parts.append(f"{labels[FAILED]} {FAILED}")
    if state["selected"]:
        parts.append("selected " + "+".join(str(n) for _, n in sorted(state["selected"].items())))
    if potential:
        parts.append(f"potential {potential['version']}")
    if state["failures"]:
        parts.append(f"{state['failures']} failed attempts")
    if state["not_here"]:
        parts.append(f"given back: {state['not_here'][0]}")
    if state["stop"]:
        parts.append(state["headline"] or state["explanation"] or state["stop"])
    return "; ".join(parts)


def panel(state: dict[str, Any], seconds: float | None = None) -> Group:
    """Return a campaign's state as what a terminal shows."""
    labels = state["labels"]
    spent = sum(labels[verdict] for verdict in LABEL_STATES) - labels["refused"] - labels["imported"]
    head = Text.assemble((state["campaign"], "bold"), "  ", _phase(state))
    if seconds is not None:
        head.append(f"  {duration(seconds)}", style="dim")
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        Text("Label budget", style="dim"),
        ProgressBar(total=max(1, labels["budget"]), completed=spent, width=30),
        f"{spent} of {labels['budget']}",
    )
    facts = pairs(
        {
            "Labels": ", ".join(f"{labels[verdict]} {verdict}" for verdict in (*LABEL_STATES, OPEN))
            + (f"; {labels['imported']} of them imported" if labels["imported"] else ""),
            "Spent": f"{state['scf_runs']:,} SCF runs, {state['md_steps']:,} MD steps",
            "Selected": ", ".join(f"it. {k}: {n}" for k, n in sorted(state["selected"].items())) or None,
            "Errors": _errors(state["potential"]),
            "Failed attempts": f"{state['failures']}; newest: {state['newest_failure']}" if state["failures"] else None,
            "Given back": "\n".join(state["not_here"]) or None,
            "Waiting": _waiting(state["waiting"]["fireworks"]),
            "What to do": "\n".join(state["waiting"]["hints"]) or None,
        }
    )
    parts: list[Any] = [head, bar, facts]
    if state["running"]:
        rows = [(item["kind"], item["subject"], item["owner"], _since(item)) for item in state["running"][:12]]
        parts.append(table(["Running", "", "by", ">for"], rows))
    return Group(*parts)


def _phase(state: dict[str, Any]) -> str:
    if state["held"] is not None:
        return f"{state['held']['state']} at iteration {state['iteration']}, {state['phase']}"
    if state["complete"]:
        return f"finished: {state['headline'] or state['explanation'] or state['stop']}"
    due = ", ".join(f"{count} {kind}" for kind, count in sorted(state["due"].items()))
    return f"iteration {state['iteration']}, {state['phase']}" + (f" (open: {due})" if due else "")


def _waiting(counts: dict[str, int]) -> str | None:
    """Return how many actions wait in which state, by the words of FireWorks."""
    return ", ".join(f"{number} {state.lower()}" for state, number in sorted(counts.items())) or None


def _errors(potential: dict[str, Any] | None) -> str | None:
    if not potential or not potential.get("errors"):
        return None
    parts = [
        f"{quantity.title.lower()} {cell(value)} {quantity.unit}"
        for quantity in QUANTITIES.values()
        if (value := quantity.shown(potential["errors"])) is not None
    ]
    return f"potential {potential['version']}, RMSE: " + ", ".join(parts)


def _since(item: dict[str, Any]) -> str:
    return duration(item["seconds"]) if item["seconds"] is not None else "–"
