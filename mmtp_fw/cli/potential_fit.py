"""`mmtp potential fit`: a fit from plain files that shows where it stands, and goes on after Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.files import DerivativesOption, MomentsOption, SpeciesOption, names_of, read_labels, read_potential
from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.fitting import FitResult, Progress, Weights
    from mmtp_fw.potential import Systems

_LINE_EVERY_S = 10.0


def fit(
    training: Annotated[Path, typer.Argument(help="Labelled configurations: extended XYZ, MLIP cfg.")],
    output: Annotated[Path, typer.Argument(help="The .mmtp file to write.")],
    start: Annotated[Path | None, typer.Option(help="Potential to start from; else --level and --species.")] = None,
    level: Annotated[int, typer.Option(help="Level of a new potential, even.")] = 8,
    species: SpeciesOption = None,
    validation: Annotated[Path | None, typer.Option(help="Labelled configurations not to train on.")] = None,
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the training file, chosen by --seed, not to train on.")
    ] = 0.0,
    weights: Annotated[
        str, typer.Option(help="Weights of the loss that differ, as energy=1,forces=0.01 (see docs/fitting.md).")
    ] = "",
    starts: Annotated[int, typer.Option(min=1, help="Random starts of a new potential.")] = 1,
    max_iterations: Annotated[int, typer.Option(min=1, help="Most steps of the optimiser.")] = 500,
    leave_out_suspects: Annotated[bool, typer.Option(help="Fit again without labels that fit far worse.")] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where an interrupted fit is kept. [default: OUTPUT.checkpoint]")
    ] = None,
    r_min: Annotated[float, typer.Option(help="Å")] = 1.9,
    r_cut: Annotated[float, typer.Option(help="Å")] = 5.0,
    radial_size: Annotated[int, typer.Option(min=1)] = 8,
    magnetic_size: Annotated[int, typer.Option(min=1)] = 3,
    max_moment: Annotated[float, typer.Option(help="μB")] = 4.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    moments: MomentsOption = None,
    magnetic_derivatives: DerivativesOption = "detect",
    force: Annotated[bool, typer.Option("--force", help="Replace OUTPUT where it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a potential to labelled configurations; after Ctrl-C the same command goes on."""
    from mmtp_fw.fitting import FitSettings
    from mmtp_fw.fitting import fit as run_fit
    from mmtp_fw.potential import Potential, Systems

    _writable(output, force)
    chosen = _weights(weights)
    given = None if start is None else read_potential(start, species)
    magnetic = given is None or given.magnetic
    labels = read_labels(training, species, moments, magnetic, magnetic_derivatives)
    held = read_labels(validation, species, moments, magnetic, magnetic_derivatives) if validation else []
    labels, more = _divided(labels, hold_out, seed)
    if given is not None:
        potential = given
    else:
        names = names_of(species) or sorted({s for atoms in labels for s in atoms.symbols})
        potential = Potential.from_level(
            level, names, r_min=r_min, r_cut=r_cut, radial_size=radial_size, max_moment=max_moment,
            magnetic_size=magnetic_size, seed=seed,
        )  # fmt: skip
    kept = checkpoint or output.with_name(output.name + ".checkpoint")
    settings = FitSettings(
        max_iterations=max_iterations, starts=starts, seed=seed, checkpoint=kept, leave_out_suspects=leave_out_suspects
    )
    systems = Systems(potential)
    with _signals_as_interrupts(), FitDisplay() as display:
        try:
            result = run_fit(potential, labels, chosen, held + more, settings, display.update, systems=systems)
        except KeyboardInterrupt:
            display.interrupted(kept)
            raise
    result.potential.write(output)
    kept.unlink(missing_ok=True)
    _print(result, labels + held + more, systems, output, as_json)


def _writable(output: Path, force: bool) -> None:
    """Refuse an output that can't be written, or that would replace a potential."""
    from mmtp_fw.errors import InputError

    if not output.resolve().parent.is_dir():
        raise InputError(f"{output}: there is no directory {output.parent}", "make it first")
    if output.exists() and not force:
        raise InputError(f"{output} exists", "name another file, or replace it with --force")


def _weights(text: str) -> Weights:
    """Read NAME=VALUE pairs, separated by commas."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import Weights

    known = Weights.defaults()
    given: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"--weights {item}: not NAME=VALUE", "as in --weights energy=1,forces=0.01") from None
        if name.strip() not in known:
            raise InputError(f"--weights {name.strip()}: no such weight", f"one of {', '.join(sorted(known))}")
        given[name.strip()] = number
    return Weights(**given)


def _divided(labels: list[Atoms], share: float, seed: int) -> tuple[list[Atoms], list[Atoms]]:
    """Return what is trained on and what is held out."""
    import numpy as np

    count = round(share * len(labels))
    held = set(np.random.default_rng(seed).permutation(len(labels))[:count].tolist())
    return [a for k, a in enumerate(labels) if k not in held], [a for k, a in enumerate(labels) if k in held]


def _print(result: FitResult, labels: list[Atoms], systems: Systems, output: Path, as_json: bool) -> None:
    from mmtp_fw.fitting import errors_by_species, errors_by_volume

    by_volume = errors_by_volume(result.potential, labels, systems=systems)
    facts: dict[str, Any] = {
        "loss": result.loss,
        "converged": result.converged,
        "iterations": result.iterations,
        "wall_seconds": result.wall_seconds,
        "message": result.message,
        "decision": result.decision,
        "method": result.method,
        "threads": result.threads,
        "validation_loss": result.validation_loss,
        "errors": result.errors,
        "validation_errors": result.validation_errors,
        "errors_by_species": errors_by_species(result.potential, labels, systems),
        "errors_by_volume": [{"A3_per_atom": list(edges), "errors": errors} for edges, errors in by_volume.items()],
        "suspects": result.suspects,
        "left_out": result.left_out,
        "warnings": result.warnings,
        "n_parameters": result.potential.n_parameters,
        "path": str(output.resolve()),
    }
    if as_json:
        print_json(facts)
        return
    from mmtp_fw.cli.histories import errors_table

    screen = console()
    screen.print(errors_table(facts))
    parts = dict(facts["errors_by_species"])
    parts |= {f"{low:.2f} to {high:.2f} Å³/atom": errors for (low, high), errors in by_volume.items()}
    quantities = list(result.errors)
    rows = [[name, *(errors.get(q, {}).get("rmse") for q in quantities)] for name, errors in parts.items()]
    screen.print(table(["", *(f">{q}" for q in quantities)], rows, title="RMSE of all labels by species and volume"))
    for warning in result.warnings:
        print(f"warning: {warning}")
    print(f"{output}: {result.message}")


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM, which queues send before the end of a job, do what Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class FitDisplay:
    """Shows on stderr where a fit stands: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self._screen = Console(stderr=True, highlight=False)
        self._bar: Any = None
        self._task: Any = None
        self._last: Progress | None = None
        self._said = time.monotonic()

    def __enter__(self) -> FitDisplay:
        if self._screen.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]}"), TimeElapsedColumn(),
            )  # fmt: skip
            self._bar = Bar(*columns, console=self._screen, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("preparing", total=None, loss="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Take note of a step."""
        self._last = progress
        if self._bar is not None:
            self._bar.update(
                self._task, description=progress.stage, completed=progress.iteration, total=progress.max_iterations,
                loss=f"{progress.loss:.5g}",
            )  # fmt: skip
        elif time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            step = f"{progress.iteration}/{progress.max_iterations}"
            self._screen.print(f"{progress.stage}: {step}, loss {progress.loss:.5g}, {progress.wall_seconds:.0f} s")

    def interrupted(self, checkpoint: Path) -> None:
        """Say how to go on."""
        if checkpoint.exists():
            where = "" if self._last is None else f" at loss {self._last.loss:.5g}"
            self._screen.print(f"interrupted{where}; the same command goes on from {checkpoint}", soft_wrap=True)
