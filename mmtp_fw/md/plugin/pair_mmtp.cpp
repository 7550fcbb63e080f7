// SPDX-License-Identifier: GPL-2.0-only
// Pair style mmtp: a magnetic Moment Tensor Potential of mmtp_fw in LAMMPS. Licence: see LICENSE.GPL-2.

#include "pair_mmtp.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "fix.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "update.h"
#include "utils.h"

#include "prepare_potential.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;

// As in mmtp_fw/potential/descent.py and tracking.py, which say why.
static constexpr double STEP_CAP = 0.3;    // largest change of a moment in one step, μB
static constexpr double SHORT_STEP = 0.05; // steps up to here (μB) need not look convex
static constexpr int WARM_STEPS = 12;      // steps after which the remembered curvature is given up as misleading
static constexpr int PRESSED_STEPS = 40;   // steps with a moment at the bound after which a descent is given up
static constexpr double AT_BOUND = 1e-6;   // a moment this near its bound (μB) is at it

PairMMTP::PairMMTP(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
  comm_forward = 1;
  comm_reverse = 1;
  nextra = N_EXTRA;
  pvector = new double[nextra]();
  optimiser.sum = [this](double x) { return total(x); };
  optimiser.greatest = [this](double x) { return largest(x); };
}

PairMMTP::~PairMMTP()
{
  delete[] pvector;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairMMTP::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 1; i < n; i++)
    for (int j = 1; j < n; j++) setflag[i][j] = 0;
}

// pair_style mmtp [moments relax|fixed] [tolerance T] [maxiter N] [every N] [predict yes|no] [threads N]
//                 [grade N] [active FILE]
void PairMMTP::settings(int narg, char **arg)
{
  static_cast<PairMMTPSettings &>(*this) = PairMMTPSettings();  // nothing of an earlier pair_style command
  bool fixed = false, told = false;
  for (int i = 0; i < narg; i += 2) {
    const std::string key = arg[i];
    if (i + 1 >= narg) error->all(FLERR, "pair_style mmtp: {} needs a value", key);
    const char *value = arg[i + 1];
    if (key == "moments") {
      fixed = strcmp(value, "fixed") == 0;
      if (!fixed && strcmp(value, "relax") != 0)
        error->all(FLERR, "pair_style mmtp: moments {}: relax or fixed?", value);
    } else if (key == "tolerance") tolerance = utils::numeric(FLERR, value, false, lmp);
    else if (key == "maxiter") most_steps = utils::inumeric(FLERR, value, false, lmp);
    else if (key == "every") {
      relax_every = utils::inumeric(FLERR, value, false, lmp);
      told = true;
    }
    else if (key == "predict") predict = utils::logical(FLERR, value, false, lmp);
    else if (key == "grade") grade_every = utils::inumeric(FLERR, value, false, lmp);
    else if (key == "active") active = value;
    else if (key == "threads") threads = utils::inumeric(FLERR, value, false, lmp);
    else error->all(FLERR, "pair_style mmtp: unknown keyword {}", key);
  }
  if (tolerance <= 0.0 || most_steps < 1 || relax_every < 1 || threads < 1 || grade_every < 0)
    error->all(FLERR, "pair_style mmtp: tolerance, maxiter, every and threads must be positive, grade not negative");
  if (fixed && told) error->all(FLERR, "pair_style mmtp: moments fixed are never relaxed: leave out every");
  if (fixed) relax_every = 0;
}

// pair_coeff * * FILE element of type 1, of type 2, … (NULL: a type that other pair styles handle)
void PairMMTP::coeff(int narg, char **arg)
{
  if (!allocated) allocate();
  if (narg != 3 + atom->ntypes)
    error->all(FLERR, "pair_coeff * * FILE and one element per atom type: {} types, {} elements", atom->ntypes,
               std::max(0, narg - 3));
  if (strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_style mmtp describes all types at once: pair_coeff * * …");
  std::vector<std::string> species(arg + 3, arg + narg);
  std::vector<char> bytes;
  std::string failure;
  if (comm->me == 0) failure = mmtp::read_packed(arg[2], species, active, bytes);
  int lengths[2] = {int(bytes.size()), int(failure.size())};
  MPI_Bcast(lengths, 2, MPI_INT, 0, world);
  bytes.resize(lengths[0]);
  failure.resize(lengths[1]);
  MPI_Bcast(bytes.data(), lengths[0], MPI_CHAR, 0, world);
  MPI_Bcast(&failure[0], lengths[1], MPI_CHAR, 0, world);
  if (!failure.empty()) error->all(FLERR, "pair_coeff {}: {}", arg[2], failure);
  try {
    potential.parse(bytes, MMTP_LANES);
  } catch (const std::exception &problem) {
    error->all(FLERR, "pair_coeff {}: it {}", arg[2], problem.what());
  }
  if (potential.n_types != atom->ntypes)
    error->all(FLERR, "pair_coeff {}: packed for {} atom types, here are {}", arg[2], potential.n_types,
               atom->ntypes);
  std::string given;
  for (const auto &one : species) given += (given.empty() ? "" : " ") + one;
  if (given != potential.elements)
    error->all(FLERR, "pair_coeff {}: packed for {}, not for {}", arg[2], potential.elements, given);
  params.clear();
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++)
      setflag[i][j] = species[i - 1] != "NULL" && species[j - 1] != "NULL";
}

void PairMMTP::init_style()
{
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style mmtp computes in eV and Å: units metal");
  if (!force->newton_pair) error->all(FLERR, "pair_style mmtp needs newton on");
  if (grade_every > 0 && potential.n_active == 0)
    error->all(FLERR, "pair_style mmtp: no grades without an active set: active FILE, or mmtp lammps pack --active");
  neighbor->add_request(this, 1);  // NeighConst::REQ_FULL
  index_moment = index_change = index_grade = -1;
  int flag, columns, ghost;
  if (grade_every > 0) {  // grades travel with their atoms until the next look
    if (atom->find_custom("mmtp_grade", flag, columns) < 0)
      modify->add_fix("MMTP_GRADE all property/atom d_mmtp_grade writedata no");
    index_grade = atom->find_custom("mmtp_grade", flag, columns);
  }
  if (!potential.magnetic) return;
  index_moment = atom->find_custom_ghost("mag", flag, columns, ghost);
  if (index_moment < 0 || flag != 1 || columns != 0 || ghost != 1)
    error->all(FLERR, "pair_style mmtp finds no moments: fix ID all property/atom d_mag ghost yes");
  if (relax_every > 0) {
    if (atom->find_custom("mmtp_change", flag, columns) < 0)
      modify->add_fix("MMTP_CHANGE all property/atom d_mmtp_change writedata no");
    index_change = atom->find_custom("mmtp_change", flag, columns);
  }
  last_step = -1;
  std::fill(told, told + N_WARNINGS, false);
}

double PairMMTP::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style mmtp: type {} or {} has no element", i, j);
  return potential.cutoff;
}

void PairMMTP::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  for (int k = 0; k < N_EXTRA; k++) pvector[k] = 0.0;
  const bool relaxing = index_moment >= 0 && relax_every > 0 && update->ntimestep % relax_every == 0;
  const int flags = PackedPotential::FORCES | (eflag_atom ? PackedPotential::SITE_ENERGIES : 0) |
      (vflag_atom ? PackedPotential::SITE_VIRIALS : 0);
  if (neighbor->ago == 0) {
    look_at_start();
    look_at_distances();
  }
  if (relaxing) {
    relax(flags);
  } else {
    share_moments();
    evaluate(flags);
    pvector[EVALUATIONS] = 1.0;
  }
  if (index_moment >= 0) look_at_moments();
  if (grade_every > 0 && update->ntimestep % grade_every == 0) grade();
  const int nall = atom->nlocal + atom->nghost;
  double **f = atom->f;
  for (int i = 0; i < nall; i++)
    for (int k = 0; k < 3; k++) f[i][k] += forces[3 * i + k];
  if (eflag_global) eng_vdwl += out[0];
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += out[1 + k];
  if (eflag_atom)
    for (int i = 0; i < atom->nlocal; i++) eatom[i] += site_energies[i];
  if (vflag_atom)
    for (int i = 0; i < atom->nlocal; i++)
      for (int k = 0; k < 6; k++) vatom[i][k] += site_virials[6 * i + k];
  pvector[KERNEL_SECONDS] = kernel_seconds;
  pvector[MAX_GRADE] = largest_grade;
  pvector[OUTSIDE] = total(out[7]);
  pvector[UNCONVERGED] = unconverged;
  // compute pair adds the ranks up.
  if (comm->me != 0)
    for (int k = 0; k < N_EXTRA; k++) pvector[k] = 0.0;
}

// Extrapolation grades of all own atoms at the moments as they are.
void PairMMTP::grade()
{
  const int nall = atom->nlocal + atom->nghost, inum = list->inum;
  std::vector<double> none;
  double *m = moments();
  if (m == nullptr) {
    none.assign(nall, 0.0);
    m = none.data();
  }
  double *grades = atom->dvector[index_grade];
  const int count = int(params.size());
  std::vector<int> codes(count, 0);
#pragma omp parallel for num_threads(count) schedule(static, 1)
  for (int t = 0; t < count; t++) {
    PackedPotential::GradeScratch scratch;
    double found[PackedPotential::GRADED];
    const int end = int(bigint(inum) * (t + 1) / count);
    for (int begin = int(bigint(inum) * t / count); begin < end && !codes[t]; begin += PackedPotential::GRADED) {
      const int n = std::min(PackedPotential::GRADED, end - begin);
      codes[t] = potential.grades(params[t], n, list->ilist + begin, list->numneigh, list->firstneigh,
                                  nall ? atom->x[0] : nullptr, atom->type, m, scratch, found);
      for (int k = 0; k < n; k++) grades[list->ilist[begin + k]] = found[k];
    }
  }
  for (int code : codes)
    if (code) error->one(FLERR, "pair_style mmtp, step {}: {}", update->ntimestep, PackedPotential::message(code));
  double most = 0.0;
  for (int s = 0; s < inum; s++) most = std::max(most, grades[list->ilist[s]]);
  largest_grade = largest(most);
}

// Moments of ghosts from their owners.
void PairMMTP::share_moments()
{
  if (index_moment >= 0) comm->forward_comm(this);
}

double *PairMMTP::moments()
{
  return index_moment >= 0 ? atom->dvector[index_moment] : nullptr;
}

// Energy, virial, forces (ghosts included) and ∂E/∂m of own atoms, at the moments as they are.
void PairMMTP::evaluate(int flags)
{
  const int nall = atom->nlocal + atom->nghost, inum = list->inum;
  int longest = 1;
  for (int s = 0; s < inum; s++) longest = std::max(longest, list->numneigh[list->ilist[s]]);
  const int count = std::max(1, std::min(threads, inum / 32));
  params.resize(count);
  thread_forces.resize(count);
  thread_slopes.resize(count);
  thread_outs.assign(count, std::vector<double>(PackedPotential::OUT_SIZE, 0.0));
  forces.assign(3 * size_t(nall), 0.0);
  slopes.assign(nall, 0.0);
  if (flags & PackedPotential::SITE_ENERGIES) site_energies.assign(nall, 0.0);
  if (flags & PackedPotential::SITE_VIRIALS) site_virials.assign(6 * size_t(nall), 0.0);
  std::vector<double> none;
  double *m = moments();
  if (m == nullptr) {
    none.assign(nall, 0.0);
    m = none.data();
  }
  std::vector<int> codes(count, 0);
  const double begun = platform::walltime();
#pragma omp parallel for num_threads(count) schedule(static, 1)
  for (int t = 0; t < count; t++) {
    potential.prepare(params[t], longest);
    double *f = forces.data(), *slope = slopes.data();
    if (t > 0) {
      thread_forces[t].assign(3 * size_t(nall), 0.0);
      thread_slopes[t].assign(nall, 0.0);
      f = thread_forces[t].data();
      slope = thread_slopes[t].data();
    }
    const int begin = int(bigint(inum) * t / count), end = int(bigint(inum) * (t + 1) / count);
    codes[t] = mmtp_kernel(params[t].data(), end - begin, nall, list->ilist + begin, list->numneigh,
                           list->firstneigh, nall ? atom->x[0] : nullptr, atom->type, m, f, slope,
                           site_energies.data(), site_virials.data(), nullptr, thread_outs[t].data(), flags);
  }
  kernel_seconds += platform::walltime() - begun;
  for (int code : codes)
    if (code) error->one(FLERR, "pair_style mmtp, step {}: {}", update->ntimestep, PackedPotential::message(code));
  for (int t = 1; t < count; t++) {
    for (size_t k = 0; k < forces.size(); k++) forces[k] += thread_forces[t][k];
    for (int i = 0; i < nall; i++) slopes[i] += thread_slopes[t][i];
  }
  for (int k = 0; k < PackedPotential::OUT_SIZE; k++) {
    out[k] = 0.0;
    for (int t = 0; t < count; t++) out[k] += thread_outs[t][k];
  }
  if (index_moment >= 0) comm->reverse_comm(this);
}

// Bring the moments to their minimum, and leave everything evaluated there.
void PairMMTP::relax(int flags)
{
  const int n = atom->nlocal;
  double *m = moments(), *change = atom->dvector[index_change];
  const double low = potential.low, high = potential.high;
  // Another order of the atoms: the curvature of single moments means nothing any more.
  if (neighbor->ago == 0 || update->ntimestep < last_step) optimiser.forget();
  std::vector<double> start(m, m + n), now(n), g(n), step(n), y(n);
  const bool follows = predict && update->whichflag == 1 && update->ntimestep == last_step + relax_every;
  for (int i = 0; i < n; i++) {
    if (follows) m[i] += std::clamp(change[i], -STEP_CAP, STEP_CAP);
    m[i] = std::clamp(m[i], low, high);
    now[i] = m[i];
  }
  int evaluations = 0;
  double cap = STEP_CAP;
  auto look = [&]() {
    share_moments();
    evaluate(flags);
    evaluations++;
    return total(out[0]);
  };
  auto rest = [&](const double *slope) {
    double greatest = 0.0;
    for (int i = 0; i < n; i++)
      greatest = std::max(greatest, std::fabs(now[i] - std::clamp(now[i] - slope[i], low, high)));
    return largest(greatest);
  };
  double energy = look(), torque = rest(slopes.data());
  bool back = false;
  for (int k = 0, pressed = 0; k < most_steps && torque > tolerance && pressed <= PRESSED_STEPS; k++) {
    if (k == WARM_STEPS) optimiser.restart();
    if (!back) g.assign(slopes.begin(), slopes.begin() + n);
    std::vector<char> held(n);
    for (int i = 0; i < n; i++) held[i] = (now[i] <= low && g[i] > 0.0) || (now[i] >= high && g[i] < 0.0);
    step = optimiser.direction(g, held, cap);
    double longest = 0.0, promised = 0.0;
    for (int i = 0; i < n; i++) {
      m[i] = std::clamp(now[i] + step[i], low, high);
      step[i] = m[i] - now[i];
      longest = std::max(longest, std::fabs(step[i]));
      promised += g[i] * step[i];
    }
    longest = largest(longest);
    promised = total(promised);
    const double found = look(), gain = found - energy, noise = 1e-9 * std::fabs(energy) + 1e-7;
    const bool leapt = longest > 1.01 * SHORT_STEP && gain < 1.1 * promised - noise;
    if (!leapt) {
      for (int i = 0; i < n; i++) y[i] = slopes[i] - g[i];
      optimiser.learn(step, y);
    }
    back = leapt || gain > noise;
    if (back) {  // too far, or into another basin: from the same place again, less far
      cap = leapt ? std::max(0.5 * longest, SHORT_STEP) : 0.5 * longest;
      for (int i = 0; i < n; i++) m[i] = now[i];
      continue;
    }
    cap = std::min(2.0 * cap, STEP_CAP);
    energy = found;
    double bound = 0.0;
    for (int i = 0; i < n; i++) {
      now[i] = m[i];
      if (m[i] < low + AT_BOUND || m[i] > high - AT_BOUND) bound = 1.0;
    }
    pressed = largest(bound) > 0.0 ? pressed + 1 : 0;
    torque = rest(slopes.data());
  }
  if (back) {
    energy = look();
    torque = rest(slopes.data());
  }
  if (torque > tolerance) {
    unconverged += 1.0;
    tell(NOT_RELAXED, fmt::format("moments not relaxed, |T| = {:.2g} eV/μB", torque));
  }
  for (int i = 0; i < n; i++) change[i] = m[i] - start[i];
  last_step = update->ntimestep;
  pvector[EVALUATIONS] = evaluations;
}

// Largest magnetic force that the bounds leave, and the number of moments at a bound or beyond what was trained.
void PairMMTP::look_at_moments()
{
  const double *m = moments(), low = potential.low, high = potential.high;
  double torque = 0.0, bounds = 0.0, beyond = 0.0;
  for (int i = 0; i < atom->nlocal; i++) {
    torque = std::max(torque, std::fabs(m[i] - std::clamp(m[i] - slopes[i], low, high)));
    if (m[i] < low + AT_BOUND || m[i] > high - AT_BOUND) bounds += 1.0;
    const int type = atom->type[i];
    if (m[i] < potential.least_moment(type) || m[i] > potential.greatest_moment(type)) beyond += 1.0;
  }
  pvector[MAX_TORQUE] = largest(torque);
  pvector[AT_BOUNDS] = bounds = total(bounds);
  pvector[UNTRAINED] = beyond = total(beyond);
  if (relax_every > 0 && bounds > 0.0)
    tell(BOUND, fmt::format("{:.0f} moments at the bound of [{:g}, {:g}] μB, where the energy has no minimum: the "
                            "potential does not know this state", bounds, low, high));
  if (beyond > 0.0)
    tell(BEYOND_TRAINED, fmt::format("{:.0f} moments beyond those that the potential was trained for", beyond));
}

// Moments that mean nothing before anything is computed, at every new neighbour list.
void PairMMTP::look_at_start()
{
  if (index_moment < 0) return;
  const double *m = moments();
  double most = 0.0, outside = 0.0;
  for (int i = 0; i < atom->nlocal; i++) {
    most = std::max(most, std::fabs(m[i]));
    if (m[i] < potential.low - 1e-9 || m[i] > potential.high + 1e-9) outside += 1.0;
  }
  most = largest(most);
  outside = total(outside);
  if (most == 0.0 && atom->natoms > 0) {
    if (relax_every > 0)
      error->all(FLERR, "pair_style mmtp: all moments are zero, where the energy is always stationary: set group all "
                 "d_mag 2.6, or read them (fix property/atom after read_restart, or read_data FILE fix ID NULL ID)");
    tell(ALL_ZERO, "all moments are zero and kept there");
  }
  if (outside > 0.0)
    tell(OUT_OF_RANGE, fmt::format("{:.0f} moments outside [{:g}, {:g}] μB, {}", outside, potential.low, potential.high,
                                   relax_every > 0 ? "relaxed from its bound" : "where the potential is extrapolated"));
}

// Distances below the potential's shortest, at every new neighbour list.
void PairMMTP::look_at_distances()
{
  double closest = 1.0, distance = 0.0, **x = atom->x;
  for (int s = 0; s < list->inum; s++) {
    const int i = list->ilist[s];
    for (int k = 0; k < list->numneigh[i]; k++) {
      const int j = list->firstneigh[i][k] & NEIGHMASK;
      const double limit = potential.nearest(atom->type[i], atom->type[j]);
      double square = 0.0;
      for (int d = 0; d < 3; d++) square += (x[j][d] - x[i][d]) * (x[j][d] - x[i][d]);
      if (square < closest * limit * limit) {
        closest = square / (limit * limit);
        distance = std::sqrt(square);
      }
    }
  }
  if (-largest(-closest) < 1.0)
    tell(TOO_CLOSE, fmt::format("atoms closer than the potential was made or trained for{}",
                                distance > 0.0 ? fmt::format(", {:.3f} Å", distance) : ""));
}

// Warn, the first time in a run.
void PairMMTP::tell(int what, const std::string &text)
{
  if (comm->me == 0 && !told[what])
    error->warning(FLERR, "pair_style mmtp, step {}: {} (told once)", update->ntimestep, text);
  told[what] = true;
}

double PairMMTP::energy_at_moments()
{
  share_moments();
  evaluate(PackedPotential::SITE_ENERGIES);
  return total(out[0]);
}

double PairMMTP::total(double x) const
{
  double sum = 0.0;
  MPI_Allreduce(&x, &sum, 1, MPI_DOUBLE, MPI_SUM, world);
  return sum;
}

double PairMMTP::largest(double x) const
{
  double most = 0.0;
  MPI_Allreduce(&x, &most, 1, MPI_DOUBLE, MPI_MAX, world);
  return most;
}

void *PairMMTP::extract(const char *name, int &dim)
{
  dim = 0;
  if (strcmp(name, "lowest") == 0) return &potential.low;
  if (strcmp(name, "highest") == 0) return &potential.high;
  return nullptr;
}

// fix ID all pair 1 mmtp torque 0 grade 0: ∂E/∂m (eV/μB) and extrapolation grade of every atom
void *PairMMTP::extract_peratom(const char *name, int &columns)
{
  columns = 0;
  if (strcmp(name, "torque") == 0) return slopes.data();
  if (strcmp(name, "grade") == 0 && index_grade >= 0) return atom->dvector[index_grade];
  return nullptr;
}

int PairMMTP::pack_forward_comm(int n, int *indices, double *buffer, int, int *)
{
  const double *m = atom->dvector[index_moment];
  for (int k = 0; k < n; k++) buffer[k] = m[indices[k]];
  return n;
}

void PairMMTP::unpack_forward_comm(int n, int first, double *buffer)
{
  double *m = atom->dvector[index_moment];
  for (int k = 0; k < n; k++) m[first + k] = buffer[k];
}

int PairMMTP::pack_reverse_comm(int n, int first, double *buffer)
{
  for (int k = 0; k < n; k++) buffer[k] = slopes[first + k];
  return n;
}

void PairMMTP::unpack_reverse_comm(int n, int *indices, double *buffer)
{
  for (int k = 0; k < n; k++) slopes[indices[k]] += buffer[k];
}

double PairMMTP::memory_usage()
{
  double bytes = 8.0 * (forces.size() + slopes.size() + site_energies.size() + site_virials.size());
  for (const auto &one : params) bytes += 8.0 * one.size();
  for (const auto &one : thread_forces) bytes += 8.0 * one.size();
  return bytes;
}
