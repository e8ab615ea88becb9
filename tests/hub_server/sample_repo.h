// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {

// acme/m, with a file of each kind that listings are about; nothing is served yet.
class SampleRepo : public ServedFolder {
 protected:
  void SetUp() override {
    put("acme/m/a/x", "x");
    put("acme/m/a-b/y", "y\n");
    put("acme/m/a.b", "dot");
    put("acme/m/config.json", "{\"model_type\": \"bert\"}\n");
    put("acme/m/empty.txt", "");
    put("acme/m/n\xc3\xa4me #%.txt", "\xc3\xbc");
    put("acme/m/tokenizer/deep/f", "d");
    put("acme/m/tokenizer/vocab.txt", "one\ntwo\n");
  }
};

}  // namespace hubvfs::hub::server
