// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hubvfs::fs {

// The file of a split model that follows `path`: "a/model-00001-of-00003.safetensors" gives
// "a/model-00002-of-00003.safetensors". The name's last "-NUMBER-of-COUNT", of as many digits each,
// counts. "" for the last of them and for a name without.
std::string next_shard(std::string_view path);

}  // namespace hubvfs::fs
