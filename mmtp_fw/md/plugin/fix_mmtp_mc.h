// SPDX-License-Identifier: GPL-2.0-only
// Fix mmtp/mc: Metropolis flips of moments during molecular dynamics. Licence: see LICENSE.GPL-2.

#ifndef MMTP_FIX_MC_H
#define MMTP_FIX_MC_H

#include "fix.h"

namespace LAMMPS_NS {

class FixMMTPMC : public Fix {
 public:
  FixMMTPMC(class LAMMPS *, int, char **);
  int setmask() override;
  void init() override;
  void pre_force(int) override;
  double compute_vector(int) override;

 private:
  int attempts, seed;
  double temperature;
  double tried = 0.0, accepted = 0.0;
  class PairMMTP *pair = nullptr;
};

}    // namespace LAMMPS_NS

#endif
