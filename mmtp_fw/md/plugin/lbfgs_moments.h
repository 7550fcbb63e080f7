// SPDX-License-Identifier: MIT
// L-BFGS for moments that follow moving atoms: curvature is kept from one step to the next.
// J. Nocedal, Math. Comp. 35, 773 (1980); bounds by projection.

#ifndef MMTP_LBFGS_MOMENTS_H
#define MMTP_LBFGS_MOMENTS_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

class MomentLBFGS {
 public:
  std::function<double(double)> sum = [](double x) { return x; };       // over all ranks
  std::function<double(double)> greatest = [](double x) { return x; };  // likewise

  // Forget the curvature but its scale: the order of the atoms has changed.
  void forget() { pairs.clear(); }

  // Forget its scale as well: it has misled.
  void restart() {
    pairs.clear();
    curvature = FIRST_CURVATURE;
  }

  // Step downhill for the slopes g, zero where `held`; shortened as a whole until no entry is above `cap`.
  std::vector<double> direction(const std::vector<double> &g, const std::vector<char> &held, double cap) {
    const size_t n = g.size();
    std::vector<double> q(n);
    for (size_t i = 0; i < n; i++) q[i] = held[i] ? 0.0 : g[i];
    std::vector<double> alpha(pairs.size());
    for (size_t k = pairs.size(); k-- > 0;) {
      const Pair &p = pairs[k];
      alpha[k] = dot(p.s, q) / p.sy;
      for (size_t i = 0; i < n; i++) q[i] -= alpha[k] * p.y[i];
    }
    const double scale = 1.0 / curvature;
    for (size_t i = 0; i < n; i++) q[i] *= scale;
    for (size_t k = 0; k < pairs.size(); k++) {
      const Pair &p = pairs[k];
      const double beta = dot(p.y, q) / p.sy;
      for (size_t i = 0; i < n; i++) q[i] += (alpha[k] - beta) * p.s[i];
    }
    double down = 0.0;
    for (size_t i = 0; i < n; i++) {
      q[i] = held[i] ? 0.0 : -q[i];
      down += q[i] * g[i];
    }
    const bool descends = sum(down) < 0.0;
    double longest = 0.0;
    for (size_t i = 0; i < n; i++) {
      if (!descends) q[i] = held[i] ? 0.0 : -g[i] / FIRST_CURVATURE;
      longest = std::max(longest, std::fabs(q[i]));
    }
    longest = greatest(longest);
    if (longest > cap)
      for (size_t i = 0; i < n; i++) q[i] *= cap / longest;
    return q;
  }

  // Learn from a step s that changed the slopes by y.
  void learn(const std::vector<double> &s, const std::vector<double> &y) {
    const double sy = dot(s, y), ss = dot(s, s), yy = dot(y, y);
    if (!(sy > 1e-8 * std::sqrt(ss * yy)) || !(ss > 1e-24)) return;
    curvature = yy / sy;
    if (pairs.size() == DEPTH) pairs.erase(pairs.begin());
    pairs.push_back({s, y, sy});
  }

 private:
  static constexpr size_t DEPTH = 12;
  static constexpr double FIRST_CURVATURE = 0.5;  // ∂²E/∂m² before anything is known, eV/μB²
  struct Pair {
    std::vector<double> s, y;
    double sy;
  };
  std::vector<Pair> pairs;
  double curvature = FIRST_CURVATURE;

  double dot(const std::vector<double> &a, const std::vector<double> &b) const {
    const double *p = a.data(), *q = b.data();
    const size_t n = a.size();
    double x = 0.0;
#pragma omp simd reduction(+ : x)
    for (size_t i = 0; i < n; i++) x += p[i] * q[i];
    return sum(x);
  }
};

#endif
