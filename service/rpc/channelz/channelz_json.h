#ifndef SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_
#define SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rpc {

// Reads gRPC's own records (channelz): the text that grpc_channelz_get_...() return, which
// is JSON, and the same in old and new gRPC as far as these functions look.
//
// channelz numbers everything that it has records of, in the order of its creation, and
// omits zeros.

// Takes ownership of text that gRPC has allocated; null, for "no such record", becomes "".
std::string TakeJson(char* json);

// The numbers after `"key":`, quoted or not, in the order of the text.
std::vector<std::int64_t> NumbersInJson(const std::string& json, const std::string& key);

// The first of them; 0 if there is none.
std::int64_t NumberInJson(const std::string& json, const std::string& key);

// The ids after `key` in all pages of a list; `page` returns the page that begins at an id.
// Ascending.
std::vector<std::int64_t> IdsInPages(const std::function<char*(std::intptr_t first)>& page,
                                     const std::string& key, std::int64_t first = 1);

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_
