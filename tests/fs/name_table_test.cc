// SPDX-License-Identifier: Apache-2.0
#include "fs/name_table.h"

#include <gtest/gtest.h>

#include "cache/memory_cache.h"
#include "fs/node_id.h"

namespace hubvfs::fs {
namespace {

using Kind = NameTable::Kind;

NameTable::Name named(const std::string& text, Kind kind = Kind::kOwner,
                      std::uint32_t parent = kRootEntry) {
  NameTable::Name name;
  name.parent = parent;
  name.kind = kind;
  name.name = text;
  return name;
}

class NameTableTest : public testing::Test {
 protected:
  std::unique_ptr<NameTable> load() { return *NameTable::load(meta_, "public", "names"); }
  cache::MemoryMetaStore meta_;
};

TEST_F(NameTableTest, NumbersSurviveARestart) {
  const auto first = load();
  const auto acme = first->put(named("acme"));
  const auto repo = first->put(named("llm", Kind::kRepo, acme->number));
  ASSERT_TRUE(first->bind(repo->number, 7));
  const auto second = load();
  EXPECT_EQ(second->find(kRootEntry, "acme")->number, acme->number);
  EXPECT_EQ(second->at(repo->number)->serial, 7u);
  EXPECT_GT(second->put(named("other"))->number, repo->number);
}

TEST_F(NameTableTest, TheSameNameIsGivenOneNumber) {
  const auto table = load();
  EXPECT_EQ(table->put(named("acme"))->number, table->put(named("acme"))->number);
  EXPECT_EQ(table->children(kRootEntry, 0, 10).size(), 1u);
}

TEST_F(NameTableTest, AChangedTargetGetsANewNumberAndTheOldOneStaysValid) {
  const auto first = load();
  auto link = named("old", Kind::kSymlink);
  link.target = "a/b";
  const auto before = first->put(link);
  link.target = "c/d";
  const auto after = first->put(link);
  EXPECT_NE(before->number, after->number);
  const auto second = load();
  EXPECT_EQ(second->at(before->number)->target, "a/b");
  EXPECT_EQ(second->find(kRootEntry, "old")->target, "c/d");
  EXPECT_EQ(second->children(kRootEntry, 0, 10).size(), 1u);
}

TEST_F(NameTableTest, WhatTheHubNoLongerListsIsNotListedButStillThere) {
  const auto table = load();
  const auto acme = table->put(named("acme"));
  const auto gone = table->put(named("gone", Kind::kRepo, acme->number));
  ASSERT_TRUE(table->put(named("kept", Kind::kRepo, acme->number)));
  table->retain_listed(acme->number, {"kept"});
  EXPECT_EQ(table->children(acme->number, 0, 10).size(), 1u);
  EXPECT_TRUE(table->at(gone->number));
  EXPECT_EQ(load()->children(acme->number, 0, 10).size(), 1u);
}

TEST_F(NameTableTest, ChildrenContinueAfterANumber) {
  const auto table = load();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(table->put(named("n" + std::to_string(i))));
  const auto first = table->children(kRootEntry, 0, 4);
  ASSERT_EQ(first.size(), 4u);
  const auto rest = table->children(kRootEntry, first.back().number, 100);
  ASSERT_EQ(rest.size(), 6u);
  EXPECT_EQ(rest.front().name, "n4");
}

TEST_F(NameTableTest, DamagedRecordsAreSkipped) {
  ASSERT_TRUE(load()->put(named("acme")));
  ASSERT_TRUE(meta_.put("public", "namesXXXX", as_bytes("noise")));
  const auto table = load();
  EXPECT_TRUE(table->find(kRootEntry, "acme"));
  EXPECT_EQ(table->children(kRootEntry, 0, 10).size(), 1u);
}

}  // namespace
}  // namespace hubvfs::fs
