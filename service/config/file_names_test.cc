#include "service/config/file_names.h"

#include <filesystem>
#include <string>

#include "gtest/gtest.h"

namespace config {
namespace {

std::string Said(const absl::Status& status) { return std::string(status.message()); }

TEST(FileNames, AreNotWrittenTwice) {
  FileNames names;
  EXPECT_TRUE(names.Write("a", "/d/file").ok());
  EXPECT_TRUE(names.Write("b", "/d/other").ok());
  EXPECT_EQ(Said(names.Write("c", "/d/file")),
            "--c and --a name one file, /d/file: give each its own");
  EXPECT_TRUE(names.Write("a", "/d/file").ok()) << "by one flag";
}

TEST(FileNames, AreNotReadWhereTheyAreWritten) {
  FileNames names;
  EXPECT_TRUE(names.Write("a", "/d/file").ok());
  EXPECT_EQ(Said(names.Read("b", "/d/file")),
            "--b and --a name one file, /d/file: give each its own");
  EXPECT_TRUE(names.Read("a", "/d/file").ok()) << "by one flag";
  for (int flags = 0; flags < 2; ++flags) EXPECT_TRUE(names.Read("b", "/d/read").ok());
}

TEST(FileNames, AreTheSameHoweverTheyAreWritten) {
  FileNames names;
  EXPECT_TRUE(names.Write("a", "./file").ok());
  const std::string whole = std::filesystem::current_path() / "file";
  EXPECT_EQ(Said(names.Read("b", whole)),
            "--b and --a name one file, " + whole + ": give each its own");
  EXPECT_FALSE(names.Read("b", "x/../file").ok());
}

TEST(FileNames, SocketsAreAmongThem) {
  FileNames names;
  EXPECT_TRUE(names.WriteSockets("a", "127.0.0.1:0,unix:/d/socket,fd:admin,unix:/d/two").ok());
  EXPECT_FALSE(names.Write("b", "/d/socket").ok());
  EXPECT_FALSE(names.WriteSockets("b", "[::]:0,unix:/d/two").ok());
  EXPECT_TRUE(names.Write("b", "127.0.0.1:0").ok());
}

TEST(FileNames, DevicesMayBeWrittenByAll) {
  FileNames names;
  for (const char* flag : {"a", "b"}) {
    EXPECT_TRUE(names.Write(flag, "").ok());
    EXPECT_TRUE(names.WriteSockets(flag, "").ok());
    EXPECT_TRUE(names.Write(flag, "/dev/stderr").ok());
  }
  EXPECT_TRUE(names.Write("a", "/dev/shm/file").ok());
  EXPECT_FALSE(names.Write("b", "/dev/shm/file").ok()) << "is no device";
}

}  // namespace
}  // namespace config
