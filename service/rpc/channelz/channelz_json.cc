#include "service/rpc/channelz/channelz_json.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>

#include "grpc/support/alloc.h"

namespace rpc {

std::string TakeJson(char* json) {
  std::string text = json == nullptr ? "" : json;
  gpr_free(json);
  return text;
}

std::vector<std::int64_t> NumbersInJson(const std::string& json, const std::string& key) {
  const std::string quoted = "\"" + key + "\":";
  std::vector<std::int64_t> numbers;
  for (std::size_t at = json.find(quoted); at != std::string::npos; at = json.find(quoted, at)) {
    at += quoted.size();
    while (at < json.size() && (json[at] == '"' || json[at] == ' ')) ++at;
    numbers.push_back(std::atoll(json.c_str() + at));
  }
  return numbers;
}

std::int64_t NumberInJson(const std::string& json, const std::string& key) {
  const std::vector<std::int64_t> numbers = NumbersInJson(json, key);
  return numbers.empty() ? 0 : numbers.front();
}

std::vector<std::int64_t> IdsInPages(const std::function<char*(std::intptr_t first)>& page,
                                     const std::string& key, std::int64_t first) {
  std::vector<std::int64_t> all;
  for (;;) {
    std::vector<std::int64_t> ids = NumbersInJson(TakeJson(page(first)), key);
    if (ids.empty()) return all;
    std::sort(ids.begin(), ids.end());
    all.insert(all.end(), ids.begin(), ids.end());
    first = all.back() + 1;
  }
}

}  // namespace rpc
