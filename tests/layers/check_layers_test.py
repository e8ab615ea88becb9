#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_layers finds each violation that is put into a clean tree, and nothing in the clean one."""

import os
import tempfile
import unittest

import check_layers

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = SPDX + "#pragma once\n"
CLEAN = {
    "base/a.h": HEADER + "#include <string>\n",
    "base/a.cc": SPDX + '#include "base/a.h"\n\n#include <unistd.h>\n',
    "base/json.cc": SPDX + "#include <nlohmann/json.hpp>\n",
    "base/mutex.h": HEADER + "#include <mutex>\nstd::mutex m;\n",
    "base/CMakeLists.txt": "target_sources(b PRIVATE a.cc a.h json.cc mutex.h)\n",
    "hub/curl_client.cc": SPDX + '#include <curl/curl.h>\n#include "base/a.h"\n// like cache::x\n',
    "hub/types.h": HEADER,
    "hub/server/server.cc": SPDX + "#include <microhttpd.h>\n",
    "hub/server/server.h": HEADER,
    "hub/CMakeLists.txt": "x(curl_client.cc) # not hubvfs_cache\n",
    "hub/server/CMakeLists.txt": "x(server.cc)\n",
    "cache/lmdb_index.cc": SPDX + '#include <lmdb.h>\nnamespace hubvfs::cache { auto s = "hub::"; }\n',
    "cache/CMakeLists.txt": "x(lmdb_index.cc)\n",
    "fs/reader.cc": SPDX + '#include "hub/types.h"\n',
    "fs/fuse_ops.cc": SPDX + "#include <fuse_lowlevel.h>\n",
    "fs/CMakeLists.txt": "x(reader.cc fuse_ops.cc)\n",
    "daemon/main.cc": SPDX + '#include <CLI/CLI.hpp>\n#include "hub/server/server.h"\n',
    "daemon/CMakeLists.txt": "x(main.cc)\n",
    "tests/base/a_test.cc": SPDX + '#include <gtest/gtest.h>\n#include "base/a.h"\n',
    "tests/base/CMakeLists.txt": "x(a_test.cc)\n",
    "tests/mount/test_x.py": "# SPDX-License-Identifier: Apache-2.0\n",
    "tests/mount/CMakeLists.txt": "x(test_x.py)\n",
    "scripts/run": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\ncat $d/work/a\n",
    "build/dev/junk.cc": "#include <nlohmann/json.hpp>\n",
}
WORK = "/wo" + "rk/"
VIOLATIONS = [
    ("layer", "base/a.h", '#include "hub/types.h"\n'),
    ("layer", "cache/lmdb_index.cc", '#include "hub/types.h"\n'),
    ("layer", "hub/curl_client.cc", '#include "fs/b.h"\n'),
    ("layer", "fs/reader.cc", '#include "hub/server/server.h"\n'),
    ("layer", "fs/reader.cc", '#include "daemon/b.h"\n'),
    ("layer", "hub/types.h", '#include "tests/b.h"\n'),
    ("include-root", "hub/curl_client.cc", '#include "types.h"\n'),
    ("hub-cache", "hub/curl_client.cc", "cache::BlobStore* s;\n"),
    ("hub-cache", "cache/lmdb_index.cc", "hub::RepoId id;\n"),
    ("hub-cache", "cache/CMakeLists.txt", "target_link_libraries(c hubvfs_hub)\n"),
    ("third-party", "base/a.cc", "#include <openssl/evp.h>\n"),
    ("third-party", "hub/types.h", "#include <curl/curl.h>\n"),
    ("third-party", "hub/curl_client.cc", "#include <microhttpd.h>\n"),
    ("third-party", "fs/reader.cc", "#include <fuse_lowlevel.h>\n"),
    ("third-party", "fs/reader.cc", "  #  include <lmdb.h>\n"),
    ("third-party", "fs/reader.cc", "#include <nlohmann/json.hpp>\n"),
    ("third-party", "base/a.cc", "#include <zlib.h>\n"),
    ("third-party", "base/a.cc", "#include <boost/any.hpp>\n"),
    ("third-party", "base/a.cc", "#include <gtest/gtest.h>\n"),
    ("heavy-header", "base/json_x.h", HEADER + "#include <nlohmann/json.hpp>\n"),
    ("heavy-header", "daemon/b.h", "#include <CLI/CLI.hpp>\n"),
    ("own-first", "hub/server/server.cc", None),
    ("pragma-once", "fs/c.h", SPDX),
    ("mutex", "fs/reader.cc", "std::lock_guard<std::mutex> lock(m);\n"),
    ("todo", "fs/reader.cc", "// TO" "DO: later\n"),
    ("disabled-test", "tests/base/a_test.cc", "TEST(A, DISABLED" "_B) {}\n"),
    ("disabled-test", "tests/base/a_test.cc", "// TES" "T(A, B) {\n"),
    ("machine-path", "scripts/run", "ls " + WORK + "main\n"),
    ("machine-path", "README.md", "see `" + WORK + "main`\n"),
    ("registry", "README.md", "from py" "pi.org\n"),
    ("spdx", "base/d.h", "#pragma once\n"),
    ("spdx", "scripts/other", "#!/bin/sh\ntrue\n"),
    ("size", "fs/reader.cc", "\n" * 801),
    ("unlisted", "tests/base/b_test.cc", SPDX),
    ("unlisted", "fs/tree.cc", SPDX),
    ("unlisted", "tests/mount/test_y.py", "# SPDX-License-Identifier: Apache-2.0\n"),
    ("glob", "fs/CMakeLists.txt", "file(GLOB all *.cc)\n"),
]


def write_tree(root: str) -> None:
    for path, text in {**CLEAN, "fs/b.h": HEADER, "daemon/b.h": HEADER, "tests/b.h": HEADER}.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as file:
            file.write(text)
    with open(os.path.join(root, "hub/server/server.cc"), "w") as file:
        file.write(SPDX + '#include "hub/server/server.h"\n#include <microhttpd.h>\n')


def seed(root: str, path: str, text: str | None) -> None:
    with open(os.path.join(root, path), "a" if text is not None else "w") as file:
        # None: the include of the file's own header comes second.
        file.write(text if text is not None
                   else SPDX + '#include <microhttpd.h>\n#include "hub/server/server.h"\n')


class CheckLayers(unittest.TestCase):
    def test_a_clean_tree_has_no_finding(self):
        with tempfile.TemporaryDirectory() as root:
            write_tree(root)
            self.assertEqual([str(f) for f in check_layers.check(root)], [])

    def test_every_violation_is_found_where_it_is(self):
        for rule, path, text in VIOLATIONS:
            with self.subTest(rule=rule, path=path), tempfile.TemporaryDirectory() as root:
                write_tree(root)
                seed(root, path, text)
                found = check_layers.check(root)
                self.assertIn((path, rule), [(f.path, f.rule) for f in found])
                self.assertEqual({f.path for f in found}, {path})


if __name__ == "__main__":
    unittest.main()
