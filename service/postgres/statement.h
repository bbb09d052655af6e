#ifndef SERVICE_POSTGRES_STATEMENT_H_
#define SERVICE_POSTGRES_STATEMENT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace postgres {

// A bytea: bytes that are not text.
struct Blob {
  std::string bytes;
};

// A parameter: int8, text, bytea, int8[] or text[].
using Value = std::variant<std::int64_t, std::string, Blob, std::vector<std::int64_t>,
                           std::vector<std::string>>;

// One SQL statement and the values of its $1, $2, ... A connection prepares each text once, so values
// must be parameters and not part of the text.
//
//   Statement("SELECT name FROM t WHERE id > $1", id)
struct Statement {
  template <typename... Values>
  explicit Statement(std::string text, Values&&... parameters)
      : sql(std::move(text)), values{Value(std::forward<Values>(parameters))...} {}

  std::string sql;
  std::vector<Value> values;
};

// A value in PostgreSQL's binary format.
struct EncodedValue {
  unsigned int type = 0;  // The type's OID.
  std::string bytes = {};
};
EncodedValue Encode(const Value& value);

// Decodes an integer of 2, 4 or 8 bytes, which is big-endian.
std::int64_t DecodeInteger(const char* bytes, int size);

}  // namespace postgres

#endif  // SERVICE_POSTGRES_STATEMENT_H_
