#include "service/postgres/statement.h"

#include <cstddef>

namespace postgres {
namespace {

// From the server's catalogue pg_type; these never change.
enum Type : unsigned int {
  kBytea = 17,
  kInt8 = 20,
  kText = 25,
  kTextArray = 1009,
  kInt8Array = 1016,
};

void AppendBigEndian(std::string& bytes, std::uint64_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift));
  }
}

void AppendInt32(std::string& bytes, std::size_t value) { AppendBigEndian(bytes, value, 4); }

EncodedValue EncodeOne(std::int64_t value) {
  EncodedValue encoded{.type = kInt8};
  AppendBigEndian(encoded.bytes, static_cast<std::uint64_t>(value), 8);
  return encoded;
}
EncodedValue EncodeOne(const std::string& value) { return {.type = kText, .bytes = value}; }
EncodedValue EncodeOne(const Blob& value) { return {.type = kBytea, .bytes = value.bytes}; }

template <typename Element>
EncodedValue EncodeOne(const std::vector<Element>& values) {
  const unsigned int element = EncodeOne(Element()).type;
  EncodedValue encoded{.type = element == kInt8 ? kInt8Array : kTextArray};
  // Dimensions, whether there are nulls, the elements' type; then the dimension's size and where
  // it begins.
  AppendInt32(encoded.bytes, values.empty() ? 0 : 1);
  AppendInt32(encoded.bytes, 0);
  AppendInt32(encoded.bytes, element);
  if (values.empty()) return encoded;
  AppendInt32(encoded.bytes, values.size());
  AppendInt32(encoded.bytes, 1);
  for (const Element& value : values) {
    const EncodedValue one = EncodeOne(value);
    AppendInt32(encoded.bytes, one.bytes.size());
    encoded.bytes += one.bytes;
  }
  return encoded;
}

}  // namespace

EncodedValue Encode(const Value& value) {
  return std::visit([](const auto& one) { return EncodeOne(one); }, value);
}

std::int64_t DecodeInteger(const char* bytes, int size) {
  // The sign is that of the first byte.
  std::uint64_t value = size > 0 && (bytes[0] & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (int i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<std::int64_t>(value);
}

}  // namespace postgres
