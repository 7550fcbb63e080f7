"""Why VASP ended: what real versions print, and the launchers around them."""

from __future__ import annotations

import pytest

from mmtp_fw.dft.vasp.said import complaint, last_words, refusal

LINE = " " + "-" * 77
DRAWN = r"""|     EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR      ###     ###     ###     |
|     E        R     R  R     R  O     O  R     R     ###     ###     ###     |
|     EEEEE    RRRRRR   RRRRRR   O     O  RRRRRR       #       #       #      |
|     E        R   R    R   R    O     O  R   R                               |
|     EEEEEEE  R     R  R     R  OOOOOOO  R     R     ###     ###     ###     |"""
BUG = r"""|                     _     ____    _    _    _____     _                     |
|                    | |   |  _ \  | |  | |  / ____|   | |                    |
|                    |_|   |  _ <  | |  | | | | |_ |   |_|                    |
|                    (_)   |____/   \____/   \_____|   (_)                    |"""
WARNING = r"""|           W    W    AA    RRRRR   N    N  II  N    N   GGGG   !!!           |
|           W WW W  AAAAAA  RRRRR   N  N N  II  N  N N  G  GGG   !            |"""
BYE = "I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!!"


def box(*lines: str, head: str = "", bye: bool = True) -> str:
    last = [f"  ---->  {BYE} <----"] if bye else []
    body = [f"|     {line:71s} |" for line in ("", *lines, "", *last, "")]
    return "\n".join(["", LINE, *([head] if head else []), *body, LINE, ""])


HEADER = """ running   16 mpi-ranks, with    1 threads/rank, on    1 nodes
 distrk:  each k-point on   16 cores,    1 groups
 vasp.6.4.3 19Mar24 (build Sep 03 2024 17:30:01) complex
 POSCAR found :  2 types and       6 ions
 LDA part: xc-table for Pade appr. of Perdew
"""
ADVICE = box(
    "ADVICE TO THIS USER RUNNING 'VASP/VAMP'   (HEAR YOUR MASTER'S VOICE ...):",
    "You have a (more or less) 'small supercell'; an error is not made by it",
    bye=False,
)
NPAR = box(
    "For optimal performance we recommend that you set", "NPAR = 4, fatal error otherwise", head=WARNING, bye=False
)
ABORT = """--------------------------------------------------------------------------
MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD
with errorcode 1.

NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.
You may or may not see output from other processes, depending on
exactly when Open MPI kills them.
--------------------------------------------------------------------------
"""

SAID = {
    "boxed without letters": (
        box("Error reading item LAMBDA from file INCAR."),
        "Error reading item LAMBDA from file INCAR.",
    ),
    "boxed in two lines": (
        HEADER
        + NPAR
        + box("ERROR FEXCF: supplied exchange-correlation table", " is too small, maximal index : 7355", head=DRAWN)
        + ABORT,
        "ERROR FEXCF: supplied exchange-correlation table is too small, maximal index : 7355",
    ),
    "boxed bad news": (
        box(
            "VERY BAD NEWS! internal error in subroutineSGRCON:Found some",
            "non-integer element in rotation matrix 3",
            head=DRAWN,
        ),
        "VERY BAD NEWS! internal error in subroutineSGRCON:Found some non-integer element in rotation matrix 3",
    ),
    "boxed without farewell": (
        box("The linear tetrahedron method can not  be used with the KPOINTS file", head=DRAWN, bye=False),
        "The linear tetrahedron method can not be used with the KPOINTS file",
    ),
    "loose bad news": (
        HEADER + ADVICE + "\n VERY BAD NEWS! internal error in subroutine SGRCON:\n"
        " Found some non-integer element in rotation matrix       3\n",
        "VERY BAD NEWS! internal error in subroutine SGRCON: Found some non-integer element in rotation matrix 3",
    ),
    "the same of every rank": (
        HEADER
        + 4
        * (
            "\n POSMAP internal error: symmetry equivalent atom not found,\n"
            "   you might try decreasing or increasing SYMPREC by an order of magnitude.\n"
        ),
        "POSMAP internal error: symmetry equivalent atom not found, you might try decreasing or increasing SYMPREC by "
        "an order of magnitude.",
    ),
    "numbers after it": (
        "[tscc-2-52:28010] 15 more processes have sent help message\n"
        + 2 * " internal error in GENERATE_KPOINTS_TRANS: number of G-vector changed in star \n"
        + "        2392        2393\n",
        "internal error in GENERATE_KPOINTS_TRANS: number of G-vector changed in star",
    ),
    "loose, of version 5": (
        HEADER + " Error reading item 'MAGMOM' from file INCAR.\n Error code was IERR=0 ... . Found N=   12 data.\n",
        "Error reading item 'MAGMOM' from file INCAR. Error code was IERR=0 ... . Found N= 12 data.",
    ),
    "potentials": (
        HEADER
        + box(
            "ERROR: number of potentials on File POTCAR incompatible with number",
            "of species INCAR :    8  POTCAR :    2",
            head=DRAWN,
        ),
        "ERROR: number of potentials on File POTCAR incompatible with number of species INCAR : 8 POTCAR : 2",
    ),
    "no INCAR": (box("No INCAR found, STOPPING", head=DRAWN) + ABORT, "No INCAR found, STOPPING"),
    "another module": (
        box("WANNIER90_ORBITAL_DEFINITIONS: ERROR: L= 0 M= 0 not implemented", head=DRAWN),
        "WANNIER90_ORBITAL_DEFINITIONS: ERROR: L= 0 M= 0 not implemented",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_the_error_is_what_is_said(name):
    said, error = SAID[name]
    assert complaint(said) == error
    assert last_words(said + ABORT) == error
    assert refusal(said) == error


def test_warnings_and_advice_are_no_errors():
    assert complaint(HEADER + ADVICE + NPAR) is None
    assert refusal(HEADER + ADVICE + NPAR) is None


CRASHES = [
    (
        "forrtl: severe (174): SIGSEGV, segmentation fault occurred\nImage              PC                Routine\n"
        "vasp_ncl           00000000015F4A2D  Unknown               Unknown  Unknown\n" + ABORT,
        "forrtl: severe (174): SIGSEGV, segmentation fault occurred",
    ),
    ("slurmstepd: error: *** JOB 77 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***\n", "TIME LIMIT"),
    (HEADER + " entering main loop\n" + ABORT, "entering main loop"),
    (HEADER + "  1E-4\n  2\n", "LDA part: xc-table for Pade appr. of Perdew"),
    ("", "no message"),
    ("----\n| |\n", "no message"),
]


@pytest.mark.parametrize(("said", "words"), CRASHES)
def test_a_crash_is_told_by_the_line_that_says_most(said, words):
    assert words in last_words(said)
    assert complaint(said) is None and refusal(said) is None


def test_what_another_try_may_mend_is_no_refusal():
    wavecar = box("ERROR: while reading WAVECAR, plane wave coefficients changed", head=DRAWN)
    bug = box(
        "internal error in: vhdf5.F  at line: 78",
        "",
        "HDF5 call in vhdf5.F:78 produced error: -1",
        "",
        "If you are not a developer, you should not encounter this problem.",
        "Please submit a bug report.",
        head=BUG,
        bye=False,
    )
    assert refusal(wavecar) is None and "WAVECAR" in last_words(wavecar)
    assert refusal(bug) is None
    assert last_words(bug) == "internal error in: vhdf5.F at line: 78 HDF5 call in vhdf5.F:78 produced error: -1"


def test_what_vasp_went_on_after_is_no_refusal():
    useful = (
        " VERY BAD NEWS! internal error in subroutine IBZKPT:\n"
        " Reciprocal lattice and k-lattice belong to different class of lattices. Often results are still useful...\n"
    )
    assert complaint(HEADER + useful) is None and refusal(HEADER + useful) is None
    begun = HEADER + " VERY BAD NEWS! internal error in subroutine POSMAP: 2\n entering main loop\n"
    assert refusal(begun) is None and "POSMAP" in last_words(begun)
    assert "no initial positions" in refusal(" Internal error: no initial positions read in\n")
    bye = " Fatal error! IBRION=0, but no entry for POTIM on file INCAR. MUST be specified!!\n  BYE!!\n"
    assert last_words(bye).startswith("Fatal error! IBRION=0")


def test_of_several_errors_the_last_frame_ended_it():
    said = (
        box("ERROR: one", head=DRAWN)
        + " Error EDDDAV: Call to ZHEGV failed. Returncode =  7\n"
        + box("ERROR: two", head=DRAWN)
    )
    assert last_words(said) == "ERROR: two"
