// SPDX-License-Identifier: Apache-2.0
// A shaped link between two network namespaces, for kernels without netem. Root.
//
// usage: delay_line NAMESPACE_A NAMESPACE_B KEY=VALUE...
//   delay=MS (one way)  rate=MB/S (of all)  flow=MB/S (of each connection; 0: no limit)
//   queue=MS  stall_every=S  stall_for=S  seed=N  mtu=BYTES
//
// A is 10.77.0.1, B 10.77.0.2, each at a TUN device of its own. Prints "ready" and runs until a
// signal or its parent ends it; then the devices are gone.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>

#include "base/unique_fd.h"
#include "tests/bench/shaper.h"

namespace hubvfs::bench {
namespace {

constexpr int kLargestPacket = 65536;
constexpr int kBurst = 64;  // packets taken from one side before the other has its turn

double now_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] void die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

sockaddr* address_of(ifreq& request, std::uint32_t address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  std::memcpy(&request.ifr_addr, &in, sizeof in);
  return &request.ifr_addr;
}

void set_up(const char* name, int mtu, std::uint32_t address) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (address != 0) {
    request.ifr_mtu = mtu;
    if (::ioctl(socket.get(), SIOCSIFMTU, &request) != 0) die("SIOCSIFMTU");
    address_of(request, address);
    if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0) die("SIOCSIFADDR");
    address_of(request, 0xffffff00U);
    if (::ioctl(socket.get(), SIOCSIFNETMASK, &request) != 0) die("SIOCSIFNETMASK");
  }
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) die("SIOCSIFFLAGS");
}

// A TUN device in a namespace of `ip netns`, up and with its address. It goes with the descriptor.
UniqueFd open_end(const std::string& space, std::uint32_t address, int mtu) {
  const std::string path = "/run/netns/" + space;
  const UniqueFd handle(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!handle || ::setns(handle.get(), CLONE_NEWNET) != 0) die(path);
  UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun) die("/dev/net/tun");
  ifreq request{};
  std::strcpy(request.ifr_name, "delay0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) die("TUNSETIFF");
  set_up("delay0", mtu, address);
  set_up("lo", 0, 0);
  return tun;
}

// Protocol, addresses and ports of an IPv4 packet, as one number.
std::uint64_t flow_of(const char* data, std::size_t size) {
  constexpr std::size_t kHeader = 20;
  std::uint64_t hash = 1469598103934665603ULL;
  const auto mix = [&hash](unsigned char byte) { hash = (hash ^ byte) * 1099511628211ULL; };
  if (size < kHeader) return hash;
  for (std::size_t i = 12; i < kHeader; ++i) mix(static_cast<unsigned char>(data[i]));
  const std::size_t ports = static_cast<std::size_t>(data[0] & 0x0f) * 4;
  for (std::size_t i = ports; i < std::min(ports + 4, size); ++i) {
    mix(static_cast<unsigned char>(data[i]));
  }
  return hash;
}

void take(int from, Shaper& shaper) {
  static std::array<char, kLargestPacket> buffer;
  for (int i = 0; i < kBurst; ++i) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got <= 0) return;
    const auto size = static_cast<std::size_t>(got);
    shaper.offer({{buffer.data(), buffer.data() + size}, flow_of(buffer.data(), size)},
                 now_seconds());
  }
}

void give(int to, Shaper& shaper) {
  Packet packet;
  const double now = now_seconds();
  while (shaper.next_due(now, packet)) {
    // A device that is full drops, as a router does.
    if (::write(to, packet.data.data(), packet.data.size()) < 0) continue;
  }
}

struct Link {
  LinkShape shape;
  int mtu = 9000;
};

Link parse(int count, char** words) {
  Link link;
  std::map<std::string, std::pair<double*, double>> keys = {
      {"delay", {&link.shape.delay, 1e-3}},          {"rate", {&link.shape.rate, 1e6}},
      {"flow", {&link.shape.flow_rate, 1e6}},        {"queue", {&link.shape.queue, 1e-3}},
      {"stall_every", {&link.shape.stall_every, 1}}, {"stall_for", {&link.shape.stall_for, 1}}};
  for (int i = 0; i < count; ++i) {
    const std::string word = words[i];
    const std::size_t equals = word.find('=');
    char* end = nullptr;
    const double value =
        equals == std::string::npos ? NAN : std::strtod(word.c_str() + equals + 1, &end);
    const std::string key = word.substr(0, equals);
    const auto found = keys.find(key);
    if (std::isnan(value) || value < 0 || *end != '\0') {
      std::fprintf(stderr, "delay_line: %s is not KEY=NUMBER\n", word.c_str());
      std::exit(2);
    }
    if (found != keys.end()) {
      *found->second.first = value * found->second.second;
    } else if (key == "mtu" && value >= 576 && value <= 65000) {
      link.mtu = static_cast<int>(value);
    } else if (key == "seed") {
      link.shape.seed = static_cast<std::uint32_t>(value);
    } else {
      std::fprintf(stderr, "delay_line: %s\n", word.c_str());
      std::exit(2);
    }
  }
  return link;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: delay_line NAMESPACE_A NAMESPACE_B KEY=VALUE...\n");
    return 2;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const Link link = parse(argc - 3, argv + 3);
  const std::array<UniqueFd, 2> ends = {open_end(argv[1], 0x0a4d0001U, link.mtu),
                                        open_end(argv[2], 0x0a4d0002U, link.mtu)};
  std::array<Shaper, 2> shapers = {Shaper(link.shape), Shaper(link.shape)};
  ::prctl(PR_SET_TIMERSLACK, 1);  // nanoseconds: a wait ends when it should
  std::printf("ready\n");
  std::fflush(stdout);
  while (true) {
    const double now = now_seconds();
    const double at = std::min(shapers[0].wake_at(now), shapers[1].wake_at(now));
    const double wait = std::max(at - now, 0.0);
    const timespec limit{static_cast<time_t>(wait),
                         static_cast<long>((wait - std::floor(wait)) * 1e9)};
    std::array<pollfd, 2> polled = {{{ends[0].get(), POLLIN, 0}, {ends[1].get(), POLLIN, 0}}};
    ::ppoll(polled.data(), polled.size(), &limit, nullptr);
    for (std::size_t side = 0; side < 2; ++side) {
      take(ends[side].get(), shapers[side]);
      give(ends[1 - side].get(), shapers[side]);
    }
  }
}

}  // namespace
}  // namespace hubvfs::bench

int main(int argc, char** argv) { return hubvfs::bench::run(argc, argv); }
