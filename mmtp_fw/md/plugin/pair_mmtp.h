// SPDX-License-Identifier: GPL-2.0-only
// Pair style mmtp: a magnetic Moment Tensor Potential of mmtp_fw in LAMMPS. Licence: see LICENSE.GPL-2.

#ifndef MMTP_PAIR_H
#define MMTP_PAIR_H

#include "pair.h"

#include <string>
#include <vector>

#include "lbfgs_moments.h"
#include "packed_potential.h"

namespace LAMMPS_NS {

// What the keywords of pair_style set.
struct PairMMTPSettings {
  int relax_every = 1;       // steps between relaxations of the moments; 0 keeps them
  double tolerance = 1e-4;   // largest magnetic force that remains, eV/μB
  int most_steps = 300;      // of one relaxation
  bool predict = true;       // start from a linear prediction
  int grade_every = 0;       // steps between two looks at the grade; 0: none
  std::string active;        // file of the active set
  int threads = 1;
};

class PairMMTP : public Pair, private PairMMTPSettings {
 public:
  explicit PairMMTP(class LAMMPS *);
  ~PairMMTP() override;
  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

  // What fix mmtp/mc needs: the energy of all ranks at the moments as they are, and the range they may have.
  double energy_at_moments();
  double *moments();
  double lowest() const { return potential.low; }
  double highest() const { return potential.high; }

 private:
  // Columns of compute pair.
  enum { MAX_GRADE, EVALUATIONS, MAX_TORQUE, UNCONVERGED, AT_BOUNDS, OUTSIDE, KERNEL_SECONDS, UNTRAINED, N_EXTRA };
  // What is told once.
  enum { NOT_RELAXED, BOUND, OUT_OF_RANGE, BEYOND_TRAINED, TOO_CLOSE, ALL_ZERO, N_WARNINGS };

  PackedPotential potential;
  int index_moment = -1, index_change = -1, index_grade = -1;  // of d_mag, its last change, and the grades
  bigint last_step = -1;
  double unconverged = 0.0, largest_grade = 0.0, kernel_seconds = 0.0;

  std::vector<double> forces, slopes, site_energies, site_virials;
  std::vector<std::vector<double>> params, thread_forces, thread_slopes, thread_outs;
  double out[PackedPotential::OUT_SIZE];
  bool told[N_WARNINGS] = {};
  MomentLBFGS optimiser;

  void allocate();
  void evaluate(int flags);
  void share_moments();
  void grade();
  void relax(int flags);
  void look_at_moments();
  void look_at_start();
  void look_at_distances();
  void tell(int what, const std::string &text);
  double total(double) const;
  double largest(double) const;
};

}    // namespace LAMMPS_NS

#endif
