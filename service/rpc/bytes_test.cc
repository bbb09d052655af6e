#include "service/rpc/bytes.h"

#include <gtest/gtest.h>

#include <vector>

#include "service/rpc/testing/probe.pb.h"

namespace rpc {
namespace {

TEST(BytesTest, ComeBackAsTheMessageThatTheyWere) {
  probe::Note note;
  note.set_text(std::string(10000, 'x'));
  probe::Note back;
  ASSERT_TRUE(FromBytes(ToBytes(note), back));
  EXPECT_EQ(back.text(), note.text());
}

TEST(BytesTest, MayBeNoMessageAtAll) {
  probe::Note note;
  EXPECT_TRUE(FromBytes(ToBytes(note), note));
  const grpc::Slice garbage("\xff\xff");
  EXPECT_FALSE(FromBytes(grpc::ByteBuffer(&garbage, 1), note));
  EXPECT_FALSE(FromBytes(grpc::ByteBuffer(), note)) << "that nobody has sent";
}

TEST(BytesTest, AreSharedByTheirCopies) {
  probe::Note note;
  note.set_text(std::string(10000, 'x'));
  const grpc::ByteBuffer bytes = ToBytes(note);
  const grpc::ByteBuffer copy = bytes;
  std::vector<grpc::Slice> first;
  std::vector<grpc::Slice> second;
  ASSERT_TRUE(bytes.Dump(&first).ok() && copy.Dump(&second).ok());
  EXPECT_EQ(first.at(0).begin(), second.at(0).begin());
}

}  // namespace
}  // namespace rpc
