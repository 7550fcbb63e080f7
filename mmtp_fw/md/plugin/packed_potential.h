// SPDX-License-Identifier: MIT
// A potential as the kernel reads it, from the file that `python -m mmtp_fw.md.plugin pack` writes.

#ifndef MMTP_PACKED_POTENTIAL_H
#define MMTP_PACKED_POTENTIAL_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

// The compiled kernel; its contract is in mmtp_fw/potential/cabi.py.
extern "C" int mmtp_kernel(double *params, int inum, int nall, int *ilist, int *numneigh, int **firstneigh, double *x,
                           int *type, double *m, double *f, double *gm, double *eatom, double *vatom, double *gamma,
                           double *out, int flags);

// Rows of sites, for grades; its contract is in mmtp_fw/potential/cabi_rows.py.
extern "C" int mmtp_rows(double *params, int inum, int *ilist, int *numneigh, int **firstneigh, double *x, int *type,
                         double *m, double *rows, double *doubles, int64_t *integers, int longest);

struct PackedPotential {
  static constexpr int OUT_SIZE = 16;
  static constexpr int FORCES = 1, SITE_ENERGIES = 2, SITE_VIRIALS = 4;
  static constexpr int64_t VERSION = 5;

  double cutoff = 0.0, low = 0.0, high = 0.0;
  bool magnetic = false;
  int n_types = 0;
  int64_t lanes = 0, species = 0;
  int row_parts[3] = {}, n_active = 0, n_parameters = 0;
  std::vector<double> trained;  // least and greatest moment of every type, then the shortest distance of every two
  std::vector<double> fixed;   // the kernel's parameter array without scratch
  std::vector<int64_t> target;  // the parameter that an entry of a row counts for
  std::vector<double> weight;   // and how often
  std::vector<double> matrix;   // (n_parameters, n_active)
  std::string elements;         // of the types, with a space between

  // Parse the bytes of a packed file, of a kernel with `expected_lanes` lanes.
  void parse(const std::vector<char> &bytes, int64_t expected_lanes) {
    static const char magic[] = "MMTPPACK";
    const size_t header = 8 + 24 * 8;
    if (bytes.size() < header || std::memcmp(bytes.data(), magic, 8) != 0)
      throw std::runtime_error("is no packed potential of mmtp_fw");
    int64_t n[20];
    double d[4];
    std::memcpy(n, bytes.data() + 8, sizeof(n));
    std::memcpy(d, bytes.data() + 8 + sizeof(n), sizeof(d));
    if (n[0] != VERSION) throw std::runtime_error("was packed by another version of mmtp_fw: pack it again");
    if (n[2] != expected_lanes) throw std::runtime_error("was packed for another kind of CPU: pack it again here");
    n_types = int(n[1]);
    lanes = n[2];
    species = n[3];
    std::memcpy(sizes, n + 5, sizeof(sizes));
    for (int k = 0; k < 3; k++) row_parts[k] = int(n[13 + k]);
    n_active = int(n[16]);
    n_parameters = int(n[18]);
    cutoff = d[0];
    low = d[1];
    high = d[2];
    magnetic = d[3] != 0.0;
    const size_t n_matrix = size_t(n_parameters) * n_active, n_row = n_active ? row_length() : 0;
    const size_t n_trained = size_t(n_types) * (2 + n_types);
    const size_t text = header + 8 * (n_trained + n[4] + 2 * n_row + n_matrix);
    if (bytes.size() != text + n[17]) throw std::runtime_error("is cut off");
    elements.assign(bytes.data() + text, n[17]);
    trained.resize(n_trained);
    fixed.resize(n[4]);
    target.resize(n_row);
    weight.resize(n_row);
    matrix.resize(n_matrix);
    const char *from = bytes.data() + header;
    const auto read = [&from](void *to, size_t n) { std::memcpy(to, from, n * 8), from += n * 8; };
    read(trained.data(), n_trained);
    read(fixed.data(), fixed.size());
    read(target.data(), n_row);
    read(weight.data(), n_row);
    read(matrix.data(), n_matrix);
  }

  // What atoms of a type, counted from 1, may do before it is extrapolation.
  double least_moment(int type) const { return trained[2 * (type - 1)]; }
  double greatest_moment(int type) const { return trained[2 * (type - 1) + 1]; }
  double nearest(int one, int other) const { return trained[(one + 1) * n_types + other - 1]; }

  int row_length() const { return row_parts[0] + row_parts[1] + row_parts[2]; }

  // Make `params` ready for neighbour lists of up to `longest` entries; cheap when it is already.
  void prepare(std::vector<double> &params, int longest) const {
    if (!params.empty() && reinterpret_cast<int64_t *>(params.data())[0] >= longest) return;
    longest += longest / 4;
    const int64_t groups = longest / lanes + species + 1;
    const int64_t doubles = sizes[1] + sizes[0] * groups, integers = sizes[3] + sizes[2] * groups;
    params.assign(fixed.size() + doubles + integers, 0.0);
    std::memcpy(params.data(), fixed.data(), fixed.size() * 8);
    int64_t *head = reinterpret_cast<int64_t *>(params.data());
    head[0] = longest;
    head[5] = int64_t(fixed.size());
    head[6] = head[5] + doubles;
  }

  // Largest coefficient of `count` sites (at most GRADED) in the active rows; returns the kernel's code.
  static constexpr int GRADED = 16, STRIP = 128, AT_ONCE = 4;
  struct GradeScratch {
    std::vector<double> rows, doubles, folded, coefficients;
    std::vector<int64_t> integers;
  };
  int grades(std::vector<double> &params, int count, int *ilist, int *numneigh, int **firstneigh, double *x, int *type,
             double *m, GradeScratch &s, double *found) const {
    const int longest = int(reinterpret_cast<int64_t *>(params.data())[0]);
    const int64_t groups = longest / lanes + species + 1;
    s.doubles.resize(sizes[5] + sizes[4] * groups);
    s.integers.resize(sizes[7] + sizes[6] * groups);
    s.rows.assign(size_t(count) * row_length(), 0.0);
    const int code = mmtp_rows(params.data(), count, ilist, numneigh, firstneigh, x, type, m, s.rows.data(),
                               s.doubles.data(), s.integers.data(), longest);
    if (code) return code;
    // Rows over the parameters, those of AT_ONCE parameters side by side; the last ones are filled up with zeros.
    const int blocks = (n_parameters + AT_ONCE - 1) / AT_ONCE;
    s.folded.assign(size_t(blocks) * AT_ONCE * count, 0.0);
    const double *part = s.rows.data();
    for (int p = 0, begin = 0; p < 3; begin += row_parts[p], part += size_t(count) * row_parts[p], p++)
      for (int i = 0; i < count; i++)
        for (int k = 0; k < row_parts[p]; k++) {
          const int64_t to = target[begin + k];
          s.folded[(to / AT_ONCE * count + i) * AT_ONCE + to % AT_ONCE] +=
              weight[begin + k] * part[size_t(i) * row_parts[p] + k];
        }
    // Coefficients of all sites in a strip of active rows, which stay in the cache meanwhile.
    std::fill(found, found + count, 0.0);
    s.coefficients.resize(size_t(count) * STRIP);
    for (int begin = 0; begin < n_active; begin += STRIP) {
      const int width = std::min(STRIP, n_active - begin);
      std::fill(s.coefficients.begin(), s.coefficients.end(), 0.0);
      for (int b = 0; b < blocks; b++) {
        // A parameter beyond the last has the weights of the first, times zero.
        const double *w[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++)
          w[k] = matrix.data() + size_t(b * AT_ONCE + k < n_parameters ? b * AT_ONCE + k : 0) * n_active + begin;
        const double *__restrict w0 = w[0], *__restrict w1 = w[1], *__restrict w2 = w[2], *__restrict w3 = w[3];
        for (int i = 0; i < count; i++) {
          const double *v = s.folded.data() + (size_t(b) * count + i) * AT_ONCE;
          const double v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];
          if (v0 == 0.0 && v1 == 0.0 && v2 == 0.0 && v3 == 0.0) continue;  // pairs of other species
          double *__restrict to = s.coefficients.data() + size_t(i) * STRIP;
          for (int j = 0; j < width; j++) to[j] += v0 * w0[j] + v1 * w1[j] + v2 * w2[j] + v3 * w3[j];
        }
      }
      for (int i = 0; i < count; i++)
        for (int j = 0; j < width; j++)
          found[i] = std::max(found[i], std::fabs(s.coefficients[size_t(i) * STRIP + j]));
    }
    return 0;
  }

  static const char *message(int code) {
    switch (code) {
      case 1: return "an atom's type has no species in the potential";
      case 2: return "a position or a moment is not finite";
      case 3: return "two atoms coincide";
      case 4: return "a neighbour list is longer than announced";
    }
    return "unknown error of the kernel";
  }

 private:
  int64_t sizes[8] = {};  // scratch: doubles per group and besides, integers likewise; then the same for rows
};

#endif
