// SPDX-License-Identifier: MIT
// A potential as the kernel reads it, from the file that `python -m mmtp_fw.md.plugin pack` writes.

#ifndef MMTP_PACKED_POTENTIAL_H
#define MMTP_PACKED_POTENTIAL_H

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

struct PackedPotential {
  static constexpr int OUT_SIZE = 16;
  static constexpr int FORCES = 1, SITE_ENERGIES = 2, SITE_VIRIALS = 4;
  static constexpr int64_t VERSION = 1;

  double cutoff = 0.0, low = 0.0, high = 0.0;
  bool magnetic = false;
  int n_types = 0;
  int64_t lanes = 0, species = 0;
  std::vector<double> fixed;  // the kernel's parameter array without scratch

  // Parse the bytes of a packed file, of a kernel with `expected_lanes` lanes.
  void parse(const std::vector<char> &bytes, int64_t expected_lanes) {
    static const char magic[] = "MMTPPACK";
    const size_t header = 8 + 12 * 8;
    if (bytes.size() < header || std::memcmp(bytes.data(), magic, 8) != 0)
      throw std::runtime_error("is no packed potential of mmtp_fw");
    int64_t n[8];
    double d[4];
    std::memcpy(n, bytes.data() + 8, sizeof(n));
    std::memcpy(d, bytes.data() + 8 + sizeof(n), sizeof(d));
    if (n[0] != VERSION) throw std::runtime_error("was packed by another version of mmtp_fw: pack it again");
    if (n[6] != expected_lanes) throw std::runtime_error("was packed for another kind of CPU: pack it again here");
    n_types = int(n[1]);
    doubles_per_group = n[2];
    doubles_fixed = n[3];
    integers_per_group = n[4];
    integers_fixed = n[5];
    lanes = n[6];
    species = n[7];
    cutoff = d[0];
    low = d[1];
    high = d[2];
    magnetic = d[3] != 0.0;
    if ((bytes.size() - header) % 8) throw std::runtime_error("is cut off");
    fixed.resize((bytes.size() - header) / 8);
    std::memcpy(fixed.data(), bytes.data() + header, fixed.size() * 8);
  }

  // Make `params` ready for neighbour lists of up to `longest` entries; cheap when it is already.
  void prepare(std::vector<double> &params, int longest) const {
    if (!params.empty() && reinterpret_cast<int64_t *>(params.data())[0] >= longest) return;
    longest += longest / 4;
    const int64_t groups = longest / lanes + species + 1;
    const int64_t doubles = doubles_fixed + doubles_per_group * groups;
    const int64_t integers = integers_fixed + integers_per_group * groups;
    params.assign(fixed.size() + doubles + integers, 0.0);
    std::memcpy(params.data(), fixed.data(), fixed.size() * 8);
    int64_t *head = reinterpret_cast<int64_t *>(params.data());
    head[0] = longest;
    head[5] = int64_t(fixed.size());
    head[6] = head[5] + doubles;
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
  int64_t doubles_per_group = 0, doubles_fixed = 0, integers_per_group = 0, integers_fixed = 0;
};

#endif
