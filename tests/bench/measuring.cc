// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measuring.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "base/unique_fd.h"

namespace hubvfs::bench {

void Latencies::add(const Latencies& other) {
  took_.insert(took_.end(), other.took_.begin(), other.took_.end());
  sorted_ = false;
}

double Latencies::quantile(double share) {
  if (took_.empty()) return 0;
  if (!std::exchange(sorted_, true)) std::sort(took_.begin(), took_.end());
  const auto at = static_cast<std::size_t>(share * static_cast<double>(took_.size() - 1));
  return static_cast<double>(took_[at]) / 1000;
}

void Figures::add_quantiles(const std::string& name, Latencies& latencies) {
  add(name + "_p50_us", latencies.quantile(0.5));
  add(name + "_p99_us", latencies.quantile(0.99));
  add(name + "_p999_us", latencies.quantile(0.999));
  add(name + "_max_us", latencies.quantile(1));
}

std::string Figures::json() const {
  std::ostringstream out;
  out << std::setprecision(12) << "{";
  for (std::size_t i = 0; i < values_.size(); ++i) {
    out << (i == 0 ? "" : ", ") << '"' << values_[i].first << "\": " << values_[i].second;
  }
  out << "}";
  return out.str();
}

double status_kib(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name + ":", 0) == 0) return std::stod(line.substr(name.size() + 1));
  }
  return 0;
}

void forget_pages(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  ::fsync(fd.get());
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace hubvfs::bench
