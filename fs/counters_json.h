// SPDX-License-Identifier: Apache-2.0
// The counters of the cache and the Hub's client as status and `cache stats` tell them.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "cache/blob_store.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

// One object each, written where a value is due.
void write_counters(JsonWriter& out, const hub::HubStats& hub);
void write_counters(JsonWriter& out, const cache::StoreStats& store, std::uint64_t block_size);

}  // namespace hubvfs::fs
