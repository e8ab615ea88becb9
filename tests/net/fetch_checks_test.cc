// SPDX-License-Identifier: Apache-2.0
// What libcurl takes for a good answer and is none (threats-and-faults, finding 10).
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using FetchChecks = FaultyHub;
using HubProtocolD2 = FaultyHub;
using HubProtocolD3 = FaultyHub;
using HubProtocolD4 = FaultyHub;
using HubProtocolD6 = FaultyHub;

TEST_F(HubProtocolD4, AGoodAnswerIsTaken) { expect_bytes(lfs_file(), {1000, 100'000}); }

TEST_F(HubProtocolD3, A200InsteadOf206IsRefused) {
  on_content([this](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.body = weights_;
    return answer;
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 2000});
  EXPECT_EQ(failed_bytes_, "");
  // Nor where nothing else gives it away: the first bytes, as many as were asked for.
  on_content([this](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.body = weights_.substr(0, 1000);
    return answer;
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
  EXPECT_EQ(failed_bytes_, "");
}

TEST_F(HubProtocolD3, A200IsTakenForTheWholeFile) {
  on_content([this](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.body = weights_;
    return answer;
  });
  expect_bytes(lfs_file(), {0, weights_.size()});
}

TEST_F(HubProtocolD3, AContentRangeOtherThanAskedIsRefused) {
  const std::string size = std::to_string(weights_.size());
  for (const std::string& range :
       {std::string(), "bytes 1001-2000/" + size, "bytes 1000-1998/" + size,
        "bytes 1000-2000/" + size, std::string("bytes 1000-1999/*"),
        std::string("bytes 1000-1999/499999"), std::string("bytes 1000-1999/500001"),
        "octets 1000-1999/" + size, std::string("bytes 1000-1999/18446744073709551616")}) {
    on_content([this, range](const ScriptedRequest&, int) {
      ScriptedAnswer answer;
      answer.status = 206;
      if (!range.empty()) answer.header("Content-Range", range);
      answer.body = weights_.substr(1000, 1000);
      return answer;
    });
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
    EXPECT_EQ(failed_bytes_, "") << range;
  }
}

TEST_F(FetchChecks, TooLongABodyIsCutAndRefused) {
  for (const bool chunked : {true, false}) {
    on_content([&](const ScriptedRequest& request, int) {
      ScriptedAnswer answer = good_content(request);
      answer.body += "and more";
      answer.chunked = chunked;
      answer.with_length = false;
      answer.then = Then::kClose;
      return answer;
    });
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 101'000});
  }
}

TEST_F(FetchChecks, AContentLengthOfAnotherSizeIsRefused) {
  on_content([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = good_content(request);
    answer.body += "and more";
    return answer;
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
  EXPECT_EQ(failed_bytes_, "");
  on_content([&](const ScriptedRequest& request, int) {
    return good_content(request).header("Content-Length", "99999999999999999999");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
}

TEST_F(HubProtocolD3, AnEncodedBodyIsRefused) {
  on_content([&](const ScriptedRequest& request, int) {
    return good_content(request).header("Content-Encoding", "gzip");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
  EXPECT_EQ(failed_bytes_, "");
  for (const auto& request : content_.requests()) {
    EXPECT_EQ(request.header("accept-encoding"), "identity");
  }
}

TEST_F(HubProtocolD4, AMultipartBodyIsRefused) {
  on_content([&](const ScriptedRequest& request, int) {
    return good_content(request).header("Content-Type", "multipart/byteranges; boundary=x");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
}

TEST_F(FetchChecks, ContradictingHeadersAreRefused) {
  on_content([&](const ScriptedRequest& request, int) {
    return good_content(request).header("Content-Range", "bytes 0-9/10");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {1000, 2000});
}

TEST_F(HubProtocolD2, TheFirstHopMustNameTheSameCommitContentAndSize) {
  const std::string id = lfs_file().content.hex();
  struct Case {
    std::string commit, etag, size;
  };
  for (const Case& each : {Case{std::string(40, 'a'), "\"" + id + "\"", "500000"},
                           Case{kCommit, "\"" + std::string(64, 'a') + "\"", "500000"},
                           Case{kCommit, "\"" + id + "\"", "499999"},
                           Case{"", "\"" + id + "\"", ""}, Case{kCommit, "", "500000"}}) {
    on_hub([&](const ScriptedRequest&, int) {
      ScriptedAnswer answer;
      answer.status = 302;
      answer.header("Location", content_.origin() + "/blob");
      if (!each.commit.empty()) answer.header("X-Repo-Commit", each.commit);
      if (!each.etag.empty()) answer.header("X-Linked-ETag", each.etag);
      if (!each.size.empty()) answer.header("X-Linked-Size", each.size);
      return answer;
    });
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  }
  EXPECT_EQ(content_.requests().size(), 0u);
}

TEST_F(HubProtocolD6, TheFirstHopMaySayWeakEtagsAndNoSize) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 302;
    answer.header("Location", content_.origin() + "/blob").header("X-Repo-Commit", kCommit);
    return answer.header("x-linked-etag", "W/\"" + lfs_file().content.hex() + "\"");
  });
  expect_bytes(lfs_file(), {0, 10});
}

TEST_F(HubProtocolD2, ARegularFileIsCheckedByItsEtag) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (!request.target.starts_with("/api/resolve-cache/")) {
      ScriptedAnswer answer;
      answer.status = 307;
      answer.body = std::string(230, 'x');  // its length is not the file's
      return answer.header("Location", "/api/resolve-cache/x?y=z").header("X-Repo-Commit", kCommit);
    }
    return good_regular(request);
  });
  expect_bytes(regular_file(), {0, config_.size()});
  expect_bytes(regular_file(), {3, 9});
  EXPECT_EQ(hub_.count("/resolve/"), 1u);
  EXPECT_EQ(hub_.count("/api/resolve-cache/x?y=z"), 2u);
  on_hub([&](const ScriptedRequest& request, int) {
    return range_of(config_, request)
        .header("ETag", "\"" + std::string(40, 'b') + "\"")
        .header("X-Repo-Commit", kCommit);
  });
  expect_error(ErrorCode::kBadAnswer, regular_file(), {3, 9});
  EXPECT_EQ(failed_bytes_, "");
}

TEST_F(HubProtocolD3, ADirectAnswerNeedsNoRedirect) {
  on_hub([&](const ScriptedRequest& request, int) { return good_regular(request); });
  expect_bytes(regular_file(), {0, config_.size()});
  expect_bytes(regular_file(), {5, 20});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolD3, ADirectAnswerMustNameCommitAndEtag) {
  on_hub([&](const ScriptedRequest& request, int) {
    return range_of(config_, request).header("X-Repo-Commit", kCommit);
  });
  expect_error(ErrorCode::kBadAnswer, regular_file(), {0, 9});
  on_hub([&](const ScriptedRequest& request, int) {
    return range_of(config_, request).header("ETag", "\"" + regular_file().content.hex() + "\"");
  });
  expect_error(ErrorCode::kBadAnswer, regular_file(), {0, 9});
  on_hub([&](const ScriptedRequest& request, int) {
    return range_of(config_, request)
        .header("ETag", "\"" + regular_file().content.hex() + "\"")
        .header("X-Repo-Commit", std::string(40, 'c'));
  });
  expect_error(ErrorCode::kBadAnswer, regular_file(), {0, 9});
}

TEST_F(HubProtocolD4, AContentHostThatChangesItsEtagIsLeftForAFreshUrl) {
  on_content([&](const ScriptedRequest& request, int nth) {
    return range_of(weights_, request).header("ETag", nth == 1 ? "\"one\"" : "\"two\"");
  });
  expect_bytes(lfs_file(), {0, 10});
  expect_bytes(lfs_file(), {10, 20});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolD3, NoRequestIsMadeForNoBytes) {
  expect_bytes(lfs_file(), {7, 7});
  const hub::FileRef empty{kRepo, kCommit, "empty.txt", false, content_id_of("", false)};
  expect_bytes(empty, {0, 0});
  EXPECT_EQ(hub_.requests().size(), 0u);
}

TEST_F(FetchChecks, BrokenHttpIsABadAnswer) {
  for (const std::string& raw :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nX: " + std::string(90'000, 'x') + "\r\n\r\n"}) {
    on_content([&](const ScriptedRequest&, int) {
      ScriptedAnswer answer;
      answer.raw = raw;
      return answer;
    });
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  }
}

}  // namespace
}  // namespace hubvfs
