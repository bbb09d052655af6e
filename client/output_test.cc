#include "client/output.h"

#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace client {
namespace {

TEST(Output, WritesEachPieceAtOnce) {
  std::ostringstream out;
  Output output(out);
  EXPECT_TRUE(output.Print("a\n"));
  EXPECT_EQ(out.str(), "a\n");
  EXPECT_TRUE(output.Print("b\n"));
  EXPECT_EQ(out.str(), "a\nb\n");
  EXPECT_FALSE(output.failed());
}

TEST(Output, SaysWhyItFailed) {
  std::ofstream full("/dev/full");
  Output output(full);
  EXPECT_FALSE(output.Print("a\n"));
  EXPECT_TRUE(output.failed());
  EXPECT_EQ(output.why(), "No space left on device");
}

TEST(Output, WritesNothingBehindALoss) {
  std::ostringstream out;
  Output output(out);
  out.setstate(std::ios::badbit);
  EXPECT_FALSE(output.Print("lost\n"));
  EXPECT_EQ(output.why(), "the output takes no more");
  out.clear();
  EXPECT_FALSE(output.Print("b\n"));
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace client
