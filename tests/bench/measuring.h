// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace hubvfs::bench {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// How long each of many calls took.
class Latencies {
 public:
  void add(std::chrono::nanoseconds took) { took_.push_back(took.count()); }
  void add(const Latencies& other);
  std::size_t count() const { return took_.size(); }
  // Microseconds that this share of the calls did not exceed: 0.5, 0.99, 1.
  double quantile(double share);

 private:
  std::vector<std::int64_t> took_;
  bool sorted_ = false;
};

// Named figures in order, as one JSON object a line.
class Figures {
 public:
  void add(const std::string& name, double value) { values_.emplace_back(name, value); }
  void add_quantiles(const std::string& name, Latencies& latencies);
  std::string json() const;

 private:
  std::vector<std::pair<std::string, double>> values_;
};

// KiB of a line of /proc/self/status, such as "RssAnon".
double status_kib(const std::string& name);
// Takes a file's pages out of the page cache, in so far as the kernel lets us.
void forget_pages(const std::string& path);

}  // namespace hubvfs::bench
