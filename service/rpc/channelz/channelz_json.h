#ifndef SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_
#define SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_

#include <cstdint>
#include <string>
#include <vector>

namespace rpc {

// What gRPC's own records (channelz) say: text as grpc_channelz_get_...() give it, which
// is JSON, and the same in old and new gRPC as far as these functions look.
//
// channelz numbers everything that it has records of, in the order of its making, and
// leaves zeros out.

// Takes the text that gRPC has allocated; "" for null: there is no such record.
std::string TakeJson(char* json);

// The numbers that stand behind `"key":`, quoted or not, in the order of the text.
std::vector<std::int64_t> NumbersInJson(const std::string& json, const std::string& key);

// The first of them; 0 when there is none.
std::int64_t NumberInJson(const std::string& json, const std::string& key);

// The ids that stand behind `key` in all pages of a list; `page` gives the one that
// begins at an id. Ascending.
std::vector<std::int64_t> IdsInPages(char* (*page)(std::intptr_t first), const std::string& key,
                                     std::int64_t first = 1);

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CHANNELZ_JSON_H_
