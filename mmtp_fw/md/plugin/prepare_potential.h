// SPDX-License-Identifier: MIT
// From the file that pair_coeff names to packed bytes: read as they are, or packed by mmtp_fw in a Python process.

#ifndef MMTP_PREPARE_POTENTIAL_H
#define MMTP_PREPARE_POTENTIAL_H

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace mmtp {

inline bool read_file(const std::string &path, std::vector<char> &bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return true;
}

inline std::string quoted(const std::string &text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Return nothing, or one line on what is wrong.
inline std::string read_packed(const std::string &path, const std::vector<std::string> &species,
                               const std::string &active, std::vector<char> &bytes) {
  if (!read_file(path, bytes)) return "no such file";
  if (bytes.size() >= 8 && std::string(bytes.data(), 8) == "MMTPPACK")
    return active.empty() ? "" : "it is packed, with its active set or without: pair_style mmtp without active FILE";
  const char *chosen = std::getenv("MMTP_PYTHON");
  std::string command = quoted(chosen ? chosen : MMTP_PYTHON) + " -m mmtp_fw.md.plugin pack";
  if (!active.empty()) command += " --active " + quoted(active);
  command += " " + quoted(path);
  for (const auto &one : species) command += " " + quoted(one);
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "can't start Python to pack it (MMTP_PYTHON names another)";
  std::string said;
  char buffer[512];
  while (fgets(buffer, sizeof(buffer), pipe)) said += buffer;
  const int status = pclose(pipe);
  while (!said.empty() && (said.back() == '\n' || said.back() == '\r')) said.pop_back();
  const size_t line = said.rfind('\n');
  const std::string last = line == std::string::npos ? said : said.substr(line + 1);
  if (status != 0) return last.empty() ? "Python could not pack it (MMTP_PYTHON names another)" : last;
  return read_file(last, bytes) ? "" : "Python said: " + last;
}

}  // namespace mmtp

#endif
