// SPDX-License-Identifier: Apache-2.0
#include "fs/killed_caller.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace hubvfs::fs {
namespace {

std::string status(const std::string& pending, const std::string& of_all = "0000000000000000") {
  return "Name:\tfind\nState:\tD (disk sleep)\nThreads:\t1\nSigQ:\t1/95\nSigPnd:\t" + pending +
         "\nShdPnd:\t" + of_all + "\nSigBlk:\t0000000000000100\n";
}

TEST(KilledCaller, APendingSigkillTellsIt) {
  EXPECT_TRUE(tells_of_a_kill(status("0000000000000100")));
  EXPECT_TRUE(tells_of_a_kill(status("0000000000004102"))) << "beside others";
  EXPECT_FALSE(tells_of_a_kill(status("0000000000000000")));
  EXPECT_FALSE(tells_of_a_kill(status("0000000000004002"))) << "signals that have a handler";
  EXPECT_FALSE(tells_of_a_kill(status("fffffffffffffeff")));
}

TEST(KilledCaller, WhatIsNoStatusTellsNothing) {
  for (const std::string& text :
       {std::string(), std::string("SigPnd:\t0000000000000100\n"), status("00000100"),
        status("00000000000001XX"), std::string("a\nSigPnd:\t00000000000001")}) {
    EXPECT_FALSE(tells_of_a_kill(text)) << text;
  }
}

TEST(KilledCaller, TheLivingAreNot) {
  EXPECT_FALSE(is_being_killed(::getpid()));
  EXPECT_FALSE(is_being_killed(0));
  EXPECT_FALSE(is_being_killed(-1));
}

}  // namespace
}  // namespace hubvfs::fs
