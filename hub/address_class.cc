// SPDX-License-Identifier: Apache-2.0
#include "hub/address_class.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

struct Net4 {
  std::uint32_t address;
  int bits;
  AddressClass kind;
};

constexpr std::uint32_t ip4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// RFC 6890; the first match counts.
constexpr std::array<Net4, 14> kNets4 = {{
    {ip4(127, 0, 0, 0), 8, AddressClass::kLoopback},
    {ip4(10, 0, 0, 0), 8, AddressClass::kPrivate},
    {ip4(172, 16, 0, 0), 12, AddressClass::kPrivate},
    {ip4(192, 168, 0, 0), 16, AddressClass::kPrivate},
    {ip4(100, 64, 0, 0), 10, AddressClass::kPrivate},
    {ip4(169, 254, 0, 0), 16, AddressClass::kLinkLocal},
    {ip4(0, 0, 0, 0), 8, AddressClass::kReserved},
    {ip4(192, 0, 0, 0), 24, AddressClass::kReserved},
    {ip4(192, 0, 2, 0), 24, AddressClass::kReserved},
    {ip4(198, 18, 0, 0), 15, AddressClass::kReserved},
    {ip4(198, 51, 100, 0), 24, AddressClass::kReserved},
    {ip4(203, 0, 113, 0), 24, AddressClass::kReserved},
    {ip4(224, 0, 0, 0), 4, AddressClass::kReserved},
    {ip4(240, 0, 0, 0), 4, AddressClass::kReserved},
}};

AddressClass class_of_4(std::uint32_t address) {
  for (const Net4& net : kNets4) {
    if ((address ^ net.address) >> (32 - net.bits) == 0) return net.kind;
  }
  return AddressClass::kPublic;
}

using Bytes16 = std::array<std::uint8_t, 16>;

AddressClass embedded_4(const Bytes16& b, std::size_t at) {
  return class_of_4(ip4(b[at], b[at + 1], b[at + 2], b[at + 3]));
}

bool starts_with(const Bytes16& b, std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), b.begin());
}

AddressClass class_of_6(const Bytes16& b) {
  if (starts_with(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})) return embedded_4(b, 12);
  if (starts_with(b, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return embedded_4(b, 12);
  if (starts_with(b, {0x20, 0x02})) return embedded_4(b, 2);
  if (starts_with(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) {
    const bool one = b[12] == 0 && b[13] == 0 && b[14] == 0 && b[15] == 1;
    return one ? AddressClass::kLoopback : AddressClass::kReserved;
  }
  if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) return AddressClass::kLinkLocal;
  if ((b[0] & 0xfe) == 0xfc) return AddressClass::kPrivate;
  if (b[0] == 0xfe && (b[1] & 0xc0) == 0xc0) return AddressClass::kPrivate;  // old site-local
  // Only 2000::/3 is given out; Teredo and documentation lie within it.
  if (starts_with(b, {0x20, 0x01, 0x00, 0x00}) || starts_with(b, {0x20, 0x01, 0x0d, 0xb8})) {
    return AddressClass::kReserved;
  }
  return (b[0] & 0xe0) == 0x20 ? AddressClass::kPublic : AddressClass::kReserved;
}

// The bytes of an address, 4 or 16 of them; none for any other text.
std::string bytes_of(const std::string& address) {
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return {};
}

}  // namespace

AddressClass address_class(std::string_view text) {
  const std::string address(text.substr(0, text.find('%')));
  in_addr four{};
  if (::inet_pton(AF_INET, address.c_str(), &four) == 1) return class_of_4(ntohl(four.s_addr));
  Bytes16 six{};
  if (::inet_pton(AF_INET6, address.c_str(), six.data()) == 1) return class_of_6(six);
  return AddressClass::kNone;
}

bool is_in_network(std::string_view address, std::string_view network) {
  const std::size_t slash = std::min(network.find('/'), network.size());
  const std::string ours = bytes_of(std::string(address));
  const std::string theirs = bytes_of(std::string(network.substr(0, slash)));
  if (ours.empty() || ours.size() != theirs.size()) return false;
  const std::uint64_t all = ours.size() * 8;
  const auto given = slash == network.size() ? all : parse_decimal(network.substr(slash + 1));
  if (!given || *given > all) return false;
  for (std::uint64_t bit = 0; bit < *given; ++bit) {
    const int mask = 0x80 >> (bit % 8);
    if (((ours[bit / 8] ^ theirs[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool may_redirect_to(AddressClass endpoint, AddressClass target) {
  switch (target) {
    case AddressClass::kNone:
    case AddressClass::kPublic:
      return true;
    case AddressClass::kPrivate:
      return endpoint == AddressClass::kPrivate || endpoint == AddressClass::kLoopback;
    case AddressClass::kLoopback:
    case AddressClass::kLinkLocal:
      return endpoint == target;
    case AddressClass::kReserved:
      return false;
  }
  return false;
}

AddressClass host_class(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (const AddressClass kind = address_class(host); kind != AddressClass::kNone) return kind;
  const std::string name = to_lower(host);
  const bool local = name == "localhost" || name.ends_with(".localhost");
  return local ? AddressClass::kLoopback : AddressClass::kNone;
}

}  // namespace hubvfs::hub
