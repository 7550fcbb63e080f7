"""What the tests of the VASP engine share: invented POTCARs in VASP's layout, and the stand-in's command."""

from __future__ import annotations

import gzip
import shlex
import sys
from pathlib import Path

import pytest

STANDIN = Path(__file__).with_name("standin.py")

POTCAR = """ PAW_PBE {symbol} 01Jan2000
   {valence:.8f}
 parameters from PSCTR are:
   VRHFIN ={species}: invented
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3500 Ry

   TITEL  = PAW_PBE {symbol} 01Jan2000
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    2.000    partial core radius
   POMASS =   55.847; ZVAL   =    {valence:.3f}    mass and valenz
   RCORE  =    2.300    outmost cutoff radius
   RWIGS  =    {bohr:.3f}; RWIGS  =    {radius:.3f}    wigner-seitz radius (au A)
   ENMAX  =  267.883; ENMIN  =  200.912 eV
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  511.368
   DEXC   =    0.000
   RMAX   =    2.817    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    2.442    radius for radial grids
   RDEPT  =    1.890    core radius for aug-charge
 END of PSCTR-controll parameters
 local part: a stand-in without any pseudopotential in it
  0.10000000E+01  0.20000000E+01  0.30000000E+01
 End of Dataset
"""


def potcar_text(species: str, symbol: str | None = None) -> str:
    radius = {"Fe": 1.302, "Pd": 1.434}[species]
    valence = {"Fe": 8.0, "Pd": 10.0}[species]
    return POTCAR.format(
        species=species, symbol=symbol or species, valence=valence, radius=radius, bohr=radius / 0.529177
    )


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A POTCAR library of Fe (plain) and Pd (gzipped)."""
    library = tmp_path_factory.mktemp("potcars")
    folder = library / "POT_GGA_PAW_PBE_54"
    (folder / "Fe").mkdir(parents=True)
    (folder / "Fe" / "POTCAR").write_text(potcar_text("Fe"))
    with gzip.open(folder / "POTCAR.Pd.gz", "wt") as file:
        file.write(potcar_text("Pd"))
    return library


@pytest.fixture
def potcars(library, monkeypatch) -> Path:
    """The library, named by PMG_VASP_PSP_DIR."""
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(library))
    monkeypatch.delenv("MMTP_VASP_COMMAND", raising=False)
    return library


@pytest.fixture(scope="session")
def command() -> str:
    """Return the command line that starts the stand-in with the interpreter of the tests."""
    return shlex.join([sys.executable, str(STANDIN)])


def pytest_configure(config):
    # The POTCARs here are invented, so pymatgen cannot know them.
    config.addinivalue_line("filterwarnings", "ignore:POTCAR data with symbol")
