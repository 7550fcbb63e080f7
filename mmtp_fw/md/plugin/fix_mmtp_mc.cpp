// SPDX-License-Identifier: GPL-2.0-only
// Fix mmtp/mc: Metropolis flips of moments during molecular dynamics. Licence: see LICENSE.GPL-2.

#include "fix_mmtp_mc.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "pair_mmtp.h"
#include "update.h"
#include "utils.h"

#include <cmath>
#include <cstdint>
#include <random>

using namespace LAMMPS_NS;

enum { MEMBER = 1, OUT_OF_RANGE = 2 };

// fix ID all mmtp/mc N M T seed: every N steps M attempts to reverse one moment, at temperature T
FixMMTPMC::FixMMTPMC(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg)
{
  if (narg != 7) error->all(FLERR, "fix {} mmtp/mc needs N M T seed", arg[0]);
  nevery = utils::inumeric(FLERR, arg[3], false, lmp);
  attempts = utils::inumeric(FLERR, arg[4], false, lmp);
  temperature = utils::numeric(FLERR, arg[5], false, lmp);
  seed = utils::inumeric(FLERR, arg[6], false, lmp);
  if (nevery < 1 || attempts < 1 || temperature <= 0.0 || seed < 0)
    error->all(FLERR, "fix {} mmtp/mc: N, M and T must be positive, the seed not negative", arg[0]);
  vector_flag = 1;
  size_vector = 2;
  global_freq = 1;
  extvector = 0;
  time_depend = 1;
}

int FixMMTPMC::setmask()
{
  return FixConst::PRE_FORCE;
}

void FixMMTPMC::init()
{
  pair = dynamic_cast<PairMMTP *>(force->pair_match("mmtp", 1));
  if (pair == nullptr) error->all(FLERR, "fix mmtp/mc needs pair_style mmtp");
  if (!atom->tag_enable || !atom->tag_consecutive())
    error->all(FLERR, "fix mmtp/mc needs atom ids from 1 without gaps: reset_atoms id");
  if (group->count(igroup) == 0) error->all(FLERR, "fix mmtp/mc: its group has no atoms");
}

void FixMMTPMC::pre_force(int)
{
  if (update->ntimestep % nevery) return;
  double *m = pair->moments();
  if (m == nullptr) error->all(FLERR, "fix mmtp/mc: the potential has no moments");
  const double kT = force->boltz * temperature;
  // Every step has random numbers of its own, so that a run that goes on from a restart file makes the same attempts.
  std::seed_seq numbers{uint32_t(seed), uint32_t(update->ntimestep), uint32_t(update->ntimestep >> 32)};
  std::mt19937_64 random(numbers);  // the same on all ranks
  double energy = pair->energy_at_moments();
  std::uniform_int_distribution<int64_t> any(1, int64_t(atom->natoms));
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int attempt = 0; attempt < attempts; attempt++) {
    int mine = -1, state = 0, known = 0;
    while (known != MEMBER && known != OUT_OF_RANGE) {  // until an atom of the group is drawn
      const int64_t chosen = any(random);
      mine = -1;
      for (int i = 0; i < atom->nlocal && mine < 0; i++)
        if (int64_t(atom->tag[i]) == chosen) mine = i;
      state = 0;
      if (mine >= 0 && (atom->mask[mine] & groupbit))
        state = -m[mine] < pair->lowest() || -m[mine] > pair->highest() ? OUT_OF_RANGE : MEMBER;
      MPI_Allreduce(&state, &known, 1, MPI_INT, MPI_MAX, world);
    }
    const double threshold = uniform(random);
    tried += 1.0;
    if (known == OUT_OF_RANGE) continue;  // of infinite energy
    if (mine >= 0) m[mine] = -m[mine];
    const double trial = pair->energy_at_moments();
    if (trial <= energy || threshold < std::exp(-(trial - energy) / kT)) {
      energy = trial;
      accepted += 1.0;
    } else if (mine >= 0) {
      m[mine] = -m[mine];
    }
  }
}

// f_ID[1]: attempts so far; f_ID[2]: accepted ones
double FixMMTPMC::compute_vector(int k)
{
  return k == 0 ? tried : accepted;
}
