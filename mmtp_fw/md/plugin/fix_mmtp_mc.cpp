// SPDX-License-Identifier: GPL-2.0-only
// Fix mmtp/mc: Metropolis flips of moments during molecular dynamics. Licence: see LICENSE.GPL-2.

#include "fix_mmtp_mc.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "pair_mmtp.h"
#include "update.h"
#include "utils.h"

#include <cmath>
#include <cstdint>

using namespace LAMMPS_NS;

// fix ID all mmtp/mc N M T seed: every N steps M attempts to reverse one moment, at temperature T
FixMMTPMC::FixMMTPMC(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg)
{
  if (narg != 7) error->all(FLERR, "fix {} mmtp/mc needs N M T seed", arg[0]);
  nevery = utils::inumeric(FLERR, arg[3], false, lmp);
  attempts = utils::inumeric(FLERR, arg[4], false, lmp);
  temperature = utils::numeric(FLERR, arg[5], false, lmp);
  const int seed = utils::inumeric(FLERR, arg[6], false, lmp);
  if (nevery < 1 || attempts < 1 || temperature <= 0.0 || seed < 0)
    error->all(FLERR, "fix {} mmtp/mc: N, M and T must be positive, the seed not negative", arg[0]);
  random.seed(uint64_t(seed));
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
}

void FixMMTPMC::pre_force(int)
{
  if (update->ntimestep % nevery) return;
  double *m = pair->moments();
  if (m == nullptr) error->all(FLERR, "fix mmtp/mc: the potential has no moments");
  const double kT = force->boltz * temperature;
  double energy = pair->energy_at_moments();
  std::uniform_int_distribution<int64_t> any(1, int64_t(atom->natoms));
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int attempt = 0; attempt < attempts; attempt++) {
    const int64_t chosen = any(random);
    const double threshold = uniform(random);
    int mine = -1;
    for (int i = 0; i < atom->nlocal && mine < 0; i++)
      if (int64_t(atom->tag[i]) == chosen) mine = i;
    if (mine >= 0) m[mine] = -m[mine];
    const double trial = pair->energy_at_moments();
    tried += 1.0;
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
