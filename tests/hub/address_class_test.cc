// SPDX-License-Identifier: Apache-2.0
#include "hub/address_class.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

using enum AddressClass;

TEST(AddressClassTest, OfEveryKindOfNetwork) {
  for (const char* a :
       {"8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2001:4860::8888"}) {
    EXPECT_EQ(address_class(a), kPublic) << a;
  }
  for (const char* a : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                        "fd00::1", "fec0::1"}) {
    EXPECT_EQ(address_class(a), kPrivate) << a;
  }
  for (const char* a : {"127.0.0.1", "127.255.0.9", "::1"}) {
    EXPECT_EQ(address_class(a), kLoopback) << a;
  }
  for (const char* a : {"169.254.169.254", "fe80::1", "fe80::1%eth0"}) {
    EXPECT_EQ(address_class(a), kLinkLocal) << a;
  }
  for (const char* a : {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "2001:db8::1",
                        "192.0.2.1", "::127.0.0.1"}) {
    EXPECT_EQ(address_class(a), kReserved) << a;
  }
}

TEST(AddressClassTest, LooksIntoIpv6ForIpv4) {
  EXPECT_EQ(address_class("::ffff:127.0.0.1"), kLoopback);
  EXPECT_EQ(address_class("::ffff:169.254.169.254"), kLinkLocal);
  EXPECT_EQ(address_class("64:ff9b::10.0.0.1"), kPrivate);
  EXPECT_EQ(address_class("2002:7f00:0001::"), kLoopback);
  EXPECT_EQ(address_class("::ffff:8.8.8.8"), kPublic);
}

TEST(AddressClassTest, ANetworkIsAPrefix) {
  EXPECT_TRUE(is_in_network("10.1.2.3", "10.0.0.0/8"));
  EXPECT_TRUE(is_in_network("192.168.1.129", "192.168.1.128/25"));
  EXPECT_FALSE(is_in_network("192.168.1.127", "192.168.1.128/25"));
  EXPECT_TRUE(is_in_network("8.8.8.8", "0.0.0.0/0"));
  EXPECT_TRUE(is_in_network("fd00:1::1", "fd00::/8"));
  EXPECT_TRUE(is_in_network("::1", "0:0::1"));
  for (const char* none :
       {"", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/", "::/0", "10.1.2.4", "name"}) {
    EXPECT_FALSE(is_in_network("10.1.2.3", none)) << none;
  }
  EXPECT_FALSE(is_in_network("name", "0.0.0.0/0"));
}

TEST(AddressClassTest, NamesAreNone) {
  for (const char* name : {"", "example.org", "127.1", "0x7f.0.0.1", "1.2.3", "1.2.3.4.5"}) {
    EXPECT_EQ(address_class(name), kNone) << name;
  }
  EXPECT_EQ(host_class("localhost"), kLoopback);
  EXPECT_EQ(host_class("LocalHost."), kLoopback);
  EXPECT_EQ(host_class("x.localhost"), kLoopback);
  EXPECT_EQ(host_class("127.0.0.1."), kLoopback);
  EXPECT_EQ(host_class("notlocalhost"), kNone);
}

TEST(AddressClassTest, InsideIsReachedFromInsideOnly) {
  for (AddressClass from : {kNone, kPublic, kPrivate, kLoopback, kLinkLocal}) {
    EXPECT_TRUE(may_redirect_to(from, kPublic));
    EXPECT_FALSE(may_redirect_to(from, kReserved));
    EXPECT_EQ(may_redirect_to(from, kLoopback), from == kLoopback);
    EXPECT_EQ(may_redirect_to(from, kLinkLocal), from == kLinkLocal);
    EXPECT_EQ(may_redirect_to(from, kPrivate), from == kPrivate || from == kLoopback);
  }
}

}  // namespace
}  // namespace hubvfs::hub
