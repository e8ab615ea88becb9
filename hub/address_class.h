// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hubvfs::hub {

// What kind of network an IP address belongs to, for the refusal of redirects that aim inside.
enum class AddressClass { kNone, kPublic, kPrivate, kLoopback, kLinkLocal, kReserved };

// kNone: not an IP address in text form. IPv4 within IPv6 (mapped, 6to4, NAT64) is judged by the
// IPv4 address; a zone ("fe80::1%eth0") is ignored.
AddressClass address_class(std::string_view text);

// Whether an address lies in a network, as NO_PROXY has it: "10.0.0.0/8", "fd00::/8", or one
// address. False where either is none.
bool is_in_network(std::string_view address, std::string_view network);

// Whether an answer of an endpoint at an address of class `endpoint` may send us to `target`.
// Public always; loopback from loopback, private from private or loopback, link-local (cloud
// metadata services) from link-local only; reserved and multicast never.
bool may_redirect_to(AddressClass endpoint, AddressClass target);

// An IP literal's class, kLoopback for "localhost" and "*.localhost", else kNone.
AddressClass host_class(std::string_view host);

}  // namespace hubvfs::hub
