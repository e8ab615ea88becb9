// SPDX-License-Identifier: Apache-2.0
// Where a hostile Location would send the client of a public https hub (threats-and-faults 1.2):
// none of these may be asked, nor even connected to. `https://hub.example.org` is the hub.
#pragma once

#include <array>

namespace hubvfs {

inline constexpr auto kHostileTargets = std::to_array<const char*>({
    // Inside, said openly.
    "https://10.0.0.1/",
    "https://10.255.255.255/x",
    "https://172.16.0.1/",
    "https://172.31.255.254/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://127.0.0.1/",
    "https://127.255.255.254/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://[fc00::1]/",
    "https://[fec0::1]/",
    "//127.0.0.1/x",
    "//[::1]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://x.localhost/",
    // The same, written so that another parser sees something else.
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.1./",
    "https://169.254.43518/",
    "https://0xa9fea9fe/",
    "https://2852039166/",
    "https://0251.0376.0251.0376/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/",  // circled digits
    "https://127\xe3\x80\x82"
    "0.0.1/",  // an ideographic full stop
    "https:127.0.0.1",
    "https:/127.0.0.1/",
    "https:///127.0.0.1/",
    // IPv4 within IPv6.
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[0:0:0:0:0:ffff:c0a8:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    // Nobody's.
    "https://0.0.0.0/",
    "https://0/",
    "https://0x0/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://192.0.0.170/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://[::]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    // Credentials, backslashes, names that look like others.
    "https://user@cdn.example.org/",
    "https://user:pw@cdn.example.org/",
    "https://@cdn.example.org/",
    "https://cdn.example.org@127.0.0.1/",
    "https://hub.example.org\\@evil.example/",
    "https://evil.example\\.hub.example.org/",
    "\\\\127.0.0.1\\x",
    "https://b\xc3\xbc"
    "cher.example/",
    "https://xn--bcher-kva.example/",
    "https://cdn.xn--bcher-kva.example/",
    "https://cdn.example.org /",
    "https://cdn.example.org\x01/",
    "https://",
    "https://:443/",
    // Ports and protocols.
    "https://cdn.example.org:22/",
    "https://cdn.example.org:80/",
    "https://cdn.example.org:8443/",
    "https://cdn.example.org:0/",
    "https://cdn.example.org:65536/",
    "https://cdn.example.org:x/",
    "http://cdn.example.org/",
    "http://hub.example.org/x",
    "http://127.0.0.1/",
    "http://10.0.0.1/",
    "ftp://cdn.example.org/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/x",
    "dict://127.0.0.1/x",
    "ldap://127.0.0.1/x",
    "scp://127.0.0.1/x",
    "data:text/plain,x",
    "javascript:0",
    "ws://127.0.0.1/",
});

}  // namespace hubvfs
