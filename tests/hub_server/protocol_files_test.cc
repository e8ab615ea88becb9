// SPDX-License-Identifier: Apache-2.0
// Hub-protocol D: resolve, and where it leads.
#include "base/digest.h"
#include "base/text.h"
#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

const std::string kConfig = "{\"model_type\": \"bert\"}\n";
constexpr char kConfigOid[] = "dc1fb7b6703fe03317c1a080b523bf475f3d4818";

class Resolve : public ServedFolder {
 protected:
  void SetUp() override {
    put("acme/m/.gitattributes", "*.bin filter=lfs\n");
    put("acme/m/config.json", kConfig);
    put("acme/m/empty.txt", "");
    put("acme/m/sub dir/a b+c#%\xc3\xa4.txt", "named");
    weights_ = random_bytes(300'000, 7);
    put("acme/m/w.bin", weights_);
    sha256_ = sha256_hex(as_bytes(weights_));
    put("acme/secret/config.json", kConfig);
    put("acme/secret/.hubvfs-repo.json", R"({"private": true, "readers": ["ada"]})");
    write_file(other_ / "tokens", "hf_of_ada ada\n");
    options_.token_file = other_ / "tokens";
  }
  std::string signed_location() const {
    return get("/acme/m/resolve/main/w.bin").header("location");
  }
  std::string weights_;
  std::string sha256_;
};

using HubProtocolD1 = Resolve;
using HubProtocolD2 = Resolve;
using HubProtocolD3 = Resolve;
using HubProtocolD4 = Resolve;
using HubProtocolD6 = Resolve;

TEST_F(HubProtocolD2, RegularPublicFileIsARelative307WhoseLengthIsItsOwnText) {
  serve();
  const HttpReply reply = get("/acme/m/resolve/main/config.json");
  EXPECT_EQ(reply.status, 307);
  const std::string sha = sha_of("acme/m");
  EXPECT_EQ(reply.header("location"),
            "/api/resolve-cache/models/acme/m/" + sha +
                "/config.json?%2Facme%2Fm%2Fresolve%2Fmain%2Fconfig.json=&etag=%22" + kConfigOid +
                "%22");
  EXPECT_EQ(reply.header("x-repo-commit"), sha);
  EXPECT_EQ(reply.header("accept-ranges"), "bytes");
  EXPECT_EQ(reply.header("content-length"), std::to_string(reply.body.size()));
  EXPECT_TRUE(reply.body.starts_with("Temporary Redirect"));
  EXPECT_NE(reply.body.size(), kConfig.size());
  EXPECT_FALSE(reply.has("etag"));
  EXPECT_FALSE(reply.has("x-linked-size"));
}

TEST_F(HubProtocolD2, ResolveCacheIsServedWithoutItsQuery) {
  serve();
  const std::string location = get("/acme/m/resolve/main/config.json").header("location");
  for (const std::string& target : {location, location.substr(0, location.find('?'))}) {
    const HttpReply reply = get(target);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, kConfig);
    EXPECT_EQ(reply.header("etag"), std::string("\"") + kConfigOid + "\"");
    EXPECT_EQ(reply.header("x-repo-commit"), sha_of("acme/m"));
    EXPECT_EQ(reply.header("content-type"), "text/plain; charset=utf-8");
    EXPECT_EQ(reply.header("content-disposition"),
              "inline; filename*=UTF-8''config.json; filename=\"config.json\";");
    EXPECT_EQ(reply.header("content-security-policy"), "default-src 'none'; sandbox");
    EXPECT_EQ(reply.header("accept-ranges"), "bytes");
    EXPECT_FALSE(reply.has("last-modified"));
    EXPECT_FALSE(reply.has("content-encoding"));
  }
}

TEST_F(HubProtocolD2, PrivateFileComesDirectly) {
  serve();
  const HttpReply reply = get("/acme/secret/resolve/main/config.json", token("hf_of_ada"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, kConfig);
  EXPECT_EQ(reply.header("etag"), std::string("\"") + kConfigOid + "\"");
  EXPECT_TRUE(is_commit_id(reply.header("x-repo-commit")));
}

TEST_F(HubProtocolD2, LfsFileIsA302ToTheSecondOrigin) {
  serve();
  const HttpReply reply = get("/acme/m/resolve/main/w.bin", {{"Range", "bytes=100-199"}});
  EXPECT_EQ(reply.status, 302) << "this hop ignores Range";
  EXPECT_TRUE(reply.header("location").starts_with(server_->content_url() + "/"));
  EXPECT_NE(reply.header("location").find("Expires=" + std::to_string(clock_.unix_now() + 3600)),
            std::string::npos);
  EXPECT_EQ(reply.header("x-linked-size"), std::to_string(weights_.size()));
  EXPECT_EQ(reply.header("x-linked-etag"), "\"" + sha256_ + "\"");
  EXPECT_EQ(reply.header("x-repo-commit"), sha_of("acme/m"));
  EXPECT_EQ(reply.header("cache-control"), "no-store");
  EXPECT_EQ(reply.header("content-length"), std::to_string(reply.body.size()));
  EXPECT_FALSE(reply.has("etag"));
  for (const auto& [name, value] : reply.headers) {
    EXPECT_FALSE(name.starts_with("x-xet")) << name;
  }
  EXPECT_FALSE(reply.has("link"));
}

TEST_F(HubProtocolD2, ResolveCacheOfAnLfsFileIsA302Too) {
  serve();
  EXPECT_EQ(get("/api/resolve-cache/models/acme/m/" + sha_of("acme/m") + "/w.bin").status, 302);
}

TEST_F(HubProtocolD2, IfNoneMatchIs304OnResolveAndNotOnRaw) {
  serve();
  const HttpHeaders regular = {{"If-None-Match", std::string("\"") + kConfigOid + "\""}};
  const HttpReply reply = get("/acme/m/resolve/main/config.json", regular);
  EXPECT_EQ(reply.status, 304);
  EXPECT_EQ(reply.header("x-repo-commit"), sha_of("acme/m"));
  EXPECT_EQ(get("/acme/m/resolve/main/w.bin", {{"If-None-Match", "\"" + sha256_ + "\""}}).status,
            304);
  EXPECT_EQ(get("/acme/m/raw/main/config.json", regular).status, 200);
  EXPECT_EQ(get("/acme/m/resolve/main/config.json", {{"If-None-Match", "\"other\""}}).status, 307);
}

TEST_F(HubProtocolD2, EveryOutcomeNamesItsCommitAndTakesRanges) {
  serve();
  const std::string sha = sha_of("acme/m");
  const HttpHeaders known = {{"If-None-Match", std::string("\"") + kConfigOid + "\""}};
  for (const HttpReply& reply :
       {get("/acme/m/resolve/main/config.json"), get("/acme/m/resolve/HEAD/config.json"),
        get("/acme/m/resolve/main/w.bin"), get("/acme/m/resolve/main/config.json", known),
        get("/api/resolve-cache/models/acme/m/" + sha + "/config.json"),
        head("/acme/m/raw/main/config.json")}) {
    EXPECT_EQ(reply.header("x-repo-commit"), sha);
    EXPECT_EQ(reply.header("accept-ranges"), "bytes");
  }
}

TEST_F(HubProtocolD2, RedirectsOfARenamedRepoHaveNoMetadata) {
  put("acme/m/.hubvfs-repo.json", R"({"aliases": ["acme/old"]})");
  serve();
  for (const char* name : {"acme/old", "ACME/m"}) {
    const HttpReply reply = head("/" + std::string(name) + "/resolve/main/w.bin");
    EXPECT_EQ(reply.status, 307);
    EXPECT_EQ(reply.header("location"), "/acme/m/resolve/main/w.bin");
    EXPECT_FALSE(reply.has("etag") || reply.has("x-linked-etag") || reply.has("x-repo-commit"));
  }
}

TEST_F(HubProtocolD3, SingleRangesOfARegularFile) {
  serve();
  const std::string target =
      "/api/resolve-cache/models/acme/m/" + sha_of("acme/m") + "/config.json";
  const std::string size = std::to_string(kConfig.size());
  HttpReply reply = get(target, {{"Range", "bytes=0-0"}});
  EXPECT_EQ(reply.status, 206);
  EXPECT_EQ(reply.header("content-range"), "bytes 0-0/" + size);
  EXPECT_EQ(reply.body, "{");
  reply = get(target, {{"Range", "bytes=-2"}});
  EXPECT_EQ(reply.body, "}\n");
  reply = get(target, {{"Range", "bytes=5-"}});
  EXPECT_EQ(reply.body, kConfig.substr(5));
  reply = get(target, {{"Range", "bytes=" + size + "-"}});
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(reply.header("content-range"), "bytes */" + size);
  EXPECT_EQ(get(target, {{"Range", "bytes=0-0,2-3"}}).status, 200);
  EXPECT_EQ(get(target, {{"Range", "bytes=0-0"}, {"If-Range", "\"other\""}}).status, 200);
}

TEST_F(HubProtocolD3, EmptyFile) {
  serve();
  const HttpReply reply =
      head("/api/resolve-cache/models/acme/m/" + sha_of("acme/m") + "/empty.txt");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-length"), "0");
  EXPECT_EQ(reply.header("etag"), "\"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\"");
}

TEST_F(HubProtocolD3, NothingIsEverCompressed) {
  serve();
  const std::string target =
      "/api/resolve-cache/models/acme/m/" + sha_of("acme/m") + "/config.json";
  const HttpReply whole = get(target, {{"Accept-Encoding", "gzip, deflate, br"}});
  EXPECT_FALSE(whole.has("content-encoding"));
  EXPECT_EQ(whole.header("content-length"), std::to_string(kConfig.size()));
  EXPECT_EQ(whole.header("etag"), std::string("\"") + kConfigOid + "\"") << "strong";
  const HttpReply part = get(target, {{"Accept-Encoding", "gzip"}, {"Range", "bytes=1-3"}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, kConfig.substr(1, 3));
}

TEST_F(HubProtocolD3, ContentTypeGoesByTheExtension) {
  const std::map<std::string, std::string> types = {{"a.json", "text/plain; charset=utf-8"},
                                                    {"a.md", "text/plain; charset=utf-8"},
                                                    {"a.PY", "text/plain; charset=utf-8"},
                                                    {"a.txt", "text/plain; charset=utf-8"},
                                                    {"a.png", "image/png"},
                                                    {"a.model", "application/octet-stream"}};
  for (const auto& [name, type] : types) put("acme/types/" + name, "x");
  serve();
  for (const auto& [name, type] : types) {
    EXPECT_EQ(get("/acme/types/raw/main/" + name).header("content-type"), type) << name;
  }
}

TEST_F(HubProtocolD1, NamesWithBlanksAndReservedBytes) {
  serve();
  const HttpReply reply = get("/acme/m/resolve/main/sub%20dir/a%20b%2Bc%23%25%C3%A4.txt");
  ASSERT_EQ(reply.status, 307);
  const HttpReply file = get(reply.header("location"));
  EXPECT_EQ(file.body, "named");
  EXPECT_EQ(file.header("content-disposition"),
            "inline; filename*=UTF-8''a%20b%2Bc%23%25%C3%A4.txt; filename=\"a b+c#%??.txt\";");
}

TEST_F(HubProtocolD1, DispositionParameters) {
  serve();
  const std::string file = "/api/resolve-cache/models/acme/m/" + sha_of("acme/m") + "/config.json";
  EXPECT_TRUE(
      get(file + "?download=true").header("content-disposition").starts_with("attachment;"));
  EXPECT_FALSE(get(file + "?noContentDisposition=1").has("content-disposition"));
  const std::string location = get("/acme/m/resolve/main/w.bin?download=true").header("location");
  EXPECT_TRUE(get_content(location).header("content-disposition").starts_with("attachment;"));
}

TEST_F(HubProtocolD1, HeadMirrorsGet) {
  serve();
  const std::string sha = sha_of("acme/m");
  for (const std::string& target :
       {std::string("/acme/m/resolve/main/config.json"), std::string("/acme/m/resolve/main/nope"),
        "/api/resolve-cache/models/acme/m/" + sha + "/config.json",
        std::string("/acme/m/raw/main/w.bin"), std::string("/api/models/acme/m")}) {
    const HttpReply with_body = get(target);
    const HttpReply without = head(target);
    EXPECT_EQ(without.status, with_body.status) << target;
    for (const auto& [name, value] : with_body.headers) {
      if (name != "date" && name != "x-request-id") {
        EXPECT_EQ(without.header(name), value) << target;
      }
    }
    EXPECT_EQ(with_body.headers.size(), without.headers.size()) << target;
  }
}

TEST_F(HubProtocolD4, ContentIsServedWithRangesAndAnEtagOfItsOwn) {
  serve();
  const std::string location = signed_location();
  HttpReply reply = get_content(location);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, weights_);
  EXPECT_EQ(reply.header("content-type"), "application/octet-stream");
  EXPECT_EQ(reply.header("accept-ranges"), "bytes");
  EXPECT_FALSE(reply.header("etag").empty());
  EXPECT_EQ(reply.header("etag").find(sha256_), std::string::npos);
  EXPECT_FALSE(reply.has("x-repo-commit"));
  EXPECT_FALSE(reply.has("x-linked-size"));
  EXPECT_FALSE(reply.has("x-linked-etag"));
  EXPECT_EQ(reply.header("content-disposition"),
            "inline; filename*=UTF-8''w.bin; filename=\"w.bin\";");
  reply = get_content(location, {{"Range", "bytes=1000-200999"}});
  EXPECT_EQ(reply.status, 206);
  EXPECT_EQ(reply.header("content-range"), "bytes 1000-200999/300000");
  EXPECT_EQ(reply.body, weights_.substr(1000, 200'000));
  reply = get_content(location, {{"Range", "bytes=300000-"}});
  EXPECT_EQ(reply.status, 416);
  EXPECT_EQ(reply.header("content-type"), "text/html");
  EXPECT_EQ(reply.header("content-range"), "bytes */300000");
}

TEST_F(HubProtocolD4, ExpiredOrAlteredUrlsAre403) {
  options_.url_lifetime_seconds = 100;
  serve();
  const std::string location = signed_location();
  EXPECT_EQ(get_content(location).status, 200);
  std::string altered = location;
  altered.replace(altered.find("Expires="), 9, "Expires=9");
  EXPECT_EQ(get_content(altered).status, 403);
  EXPECT_EQ(get_content(location.substr(0, location.find("&Signature"))).status, 403);
  EXPECT_EQ(get_content("http://x/content/models/acme/m/" + sha256_ + "/w.bin").status, 403);
  clock_.advance(std::chrono::seconds(99));
  EXPECT_EQ(get_content(location).status, 200);
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(get_content(location).status, 403);
  EXPECT_EQ(get_content(signed_location()).status, 200) << "asking again gives a fresh one";
}

TEST_F(HubProtocolD4, ContentOriginRefusesAnyAuthorization) {
  serve();
  const std::string location = signed_location();
  EXPECT_EQ(get_content(location, token("hf_of_ada")).status, 400);
  EXPECT_EQ(get_content(location, {{"Authorization", "Basic eDp5"}}).status, 400);
  EXPECT_EQ(get_content(location, {{"Authorization", ""}}).status, 400);
}

TEST_F(HubProtocolD4, SignedUrlOfAPrivateFileNeedsNoToken) {
  put("acme/secret/.gitattributes", "*.bin filter=lfs\n");
  put("acme/secret/w.bin", "secret weights");
  serve();
  const HttpReply reply = get("/acme/secret/resolve/main/w.bin", token("hf_of_ada"));
  ASSERT_EQ(reply.status, 302);
  EXPECT_EQ(get_content(reply.header("location")).body, "secret weights");
}

TEST_F(HubProtocolD6, RawServesThePointerOfAnLfsFile) {
  serve();
  const HttpReply reply = get("/acme/m/raw/main/w.bin");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "version https://git-lfs.github.com/spec/v1\noid sha256:" + sha256_ +
                            "\nsize 300000\n");
  Digest digest = Digest::sha1();
  digest.update(as_bytes(std::string("blob ") + std::to_string(reply.body.size())));
  digest.update(as_bytes(std::string_view("\0", 1)));
  digest.update(as_bytes(reply.body));
  EXPECT_EQ(reply.header("etag"), "\"" + digest.finish_hex() + "\"");
  const HttpReply part = get("/acme/m/raw/main/w.bin", {{"Range", "bytes=0-6"}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "version");
  EXPECT_EQ(get("/acme/m/raw/main/config.json").body, kConfig);
}

TEST_F(HubProtocolD4, ManyReadersAtOnceGetTheirOwnRanges) {
  serve();
  const std::string location = signed_location();
  std::vector<std::thread> readers;
  std::atomic<int> right = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    readers.emplace_back([&, i] {
      const std::size_t first = i * 9000;
      const HttpReply reply = get_content(
          location,
          {{"Range", "bytes=" + std::to_string(first) + "-" + std::to_string(first + 19'999)}});
      if (reply.status == 206 && reply.body == weights_.substr(first, 20'000)) ++right;
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(right, 32);
}

TEST_F(HubProtocolD6, TheTreePredictsEveryEtag) {
  serve();
  const std::string sha = sha_of("acme/m");
  const auto tree = flat_json(get("/api/models/acme/m/tree/main?recursive=true").body);
  int files = 0;
  for (int i = 0; tree.count("[" + std::to_string(i) + "].path") > 0; ++i) {
    const auto value = [&](const std::string& key) {
      const auto found = tree.find("[" + std::to_string(i) + "]." + key);
      return found == tree.end() ? "" : found->second;
    };
    if (value("type") != "file") continue;
    ++files;
    const std::string path = percent_encode(value("path"), true);
    const HttpReply hop = head("/api/resolve-cache/models/acme/m/" + sha + "/" + path);
    const std::string lfs = value("lfs.oid");
    EXPECT_EQ(hop.header(lfs.empty() ? "etag" : "x-linked-etag"),
              "\"" + (lfs.empty() ? value("oid") : lfs) + "\"")
        << path;
    EXPECT_EQ(hop.header(lfs.empty() ? "content-length" : "x-linked-size"), value("size")) << path;
    EXPECT_EQ(head("/acme/m/raw/main/" + path).header("etag"), "\"" + value("oid") + "\"") << path;
  }
  EXPECT_EQ(files, 5);
}

}  // namespace
}  // namespace hubvfs::hub::server
