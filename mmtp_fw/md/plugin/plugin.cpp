// SPDX-License-Identifier: GPL-2.0-only
// Makes pair style mmtp known to LAMMPS (command `plugin load`, or LAMMPS_PLUGIN_PATH). Licence: LICENSE.GPL-2.

#include "fix_mmtp_mc.h"
#include "lammps.h"
#include "pair_mmtp.h"

using namespace LAMMPS_NS;

// As the PLUGIN package of LAMMPS describes a style.
struct Style {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    void *(*pair)(void *);
    void *(*fix)(void *, int, char **);
  } creator;
  void *handle;
};

static void *create_pair(void *lmp)
{
  return new PairMMTP((LAMMPS *) lmp);
}

static void *create_fix(void *lmp, int narg, char **arg)
{
  return new FixMMTPMC((LAMMPS *) lmp, narg, arg);
}

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  auto add = (void (*)(void *, void *)) regfunc;
  Style style;
  style.version = ((LAMMPS *) lmp)->version;
  style.author = "the mmtp_fw developers";
  style.handle = handle;
  style.style = "pair";
  style.name = "mmtp";
  style.info = "magnetic Moment Tensor Potential";
  style.creator.pair = &create_pair;
  add(&style, lmp);
  style.style = "fix";
  style.name = "mmtp/mc";
  style.info = "Monte Carlo flips of the moments of pair style mmtp";
  style.creator.fix = &create_fix;
  add(&style, lmp);
}
