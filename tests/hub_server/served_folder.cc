// SPDX-License-Identifier: Apache-2.0
#include "tests/hub_server/served_folder.h"

namespace hubvfs::hub::server {
namespace {

// Gives "[]" in paths the index of the element: counts the elements of every open array.
class Flattener final : public JsonVisitor {
 public:
  std::map<std::string, std::string> flat;

  bool scalar(const std::string& path, JsonScalar&& value) override {
    std::string text;
    if (std::holds_alternative<std::nullptr_t>(value)) text = "null";
    if (const auto* flag = std::get_if<bool>(&value)) text = *flag ? "true" : "false";
    if (const auto* number = std::get_if<std::uint64_t>(&value)) text = std::to_string(*number);
    if (const auto* words = std::get_if<std::string>(&value)) text = *words;
    begin(path);
    flat[indexed(path)] = text;
    return true;
  }
  bool begin_object(const std::string& path) override { return begin(path); }
  bool begin_array(const std::string& path) override {
    begin(path);
    next_.push_back(0);
    return true;
  }
  bool end_array(const std::string& path) override {
    flat[indexed(path) + "#"] = std::to_string(next_.back());
    next_.pop_back();
    return true;
  }

 private:
  // A value at a path that ends in "[]" is one more element of the innermost array.
  bool begin(const std::string& path) {
    if (path.ends_with("[]")) ++next_.back();
    return true;
  }
  std::string indexed(const std::string& path) const {
    std::string out;
    std::size_t array = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      if (path.compare(i, 2, "[]") == 0 && array < next_.size()) {
        out += "[" + std::to_string(next_[array++] - 1) + "]";
        ++i;
      } else {
        out += path[i];
      }
    }
    return out;
  }
  std::vector<std::size_t> next_;
};

}  // namespace

std::map<std::string, std::string> flat_json(const std::string& text) {
  Flattener flattener;
  const auto parsed = parse_json(text, flattener);
  EXPECT_TRUE(parsed) << parsed.error().context << " in " << text;
  return flattener.flat;
}

std::vector<std::string> column(const std::string& json, const std::string& key) {
  const auto flat = flat_json(json);
  std::vector<std::string> values;
  for (std::size_t i = 0;; ++i) {
    const auto found = flat.find("[" + std::to_string(i) + "]." + key);
    if (found == flat.end()) return values;
    values.push_back(found->second);
  }
}

Names ServedFolder::pages(const std::string& target, const std::string& key, int& count) const {
  Names all;
  std::string next = target;
  for (count = 0; !next.empty() && count < 100; ++count) {
    const HttpReply reply = get(next);
    EXPECT_EQ(reply.status, 200) << reply.body;
    for (const auto& value : column(reply.body, key)) all.push_back(value);
    const std::string link = reply.header("link");
    if (!link.empty()) {
      EXPECT_TRUE(link.starts_with("<" + server_->url() + "/")) << link;
      EXPECT_TRUE(link.ends_with(">; rel=\"next\"")) << link;
    }
    next = link.empty() ? "" : target_of(link.substr(1, link.find('>') - 1));
  }
  return all;
}

}  // namespace hubvfs::hub::server
