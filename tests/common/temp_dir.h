#ifndef TESTS_COMMON_TEMP_DIR_H_
#define TESTS_COMMON_TEMP_DIR_H_

#include <string>

namespace testkit {

// An empty temporary directory that is removed with the object.
//
// It is created where the test runner (TEST_TMPDIR) or the system (TMPDIR, else /tmp) wants such
// directories. If it cannot be created, the process ends with a message, because nothing that needs
// it could continue.
//
// Threads: any. Destroy it after the processes that write into it.
class TempDir {
 public:
  // `parent`: where it lies, if that exists and may be written.
  explicit TempDir(const std::string& parent = "");
  // Removes the directory and everything in it.
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // Absolute, without a slash at its end.
  const std::string& path() const { return path_; }

  // The path of something in it.
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_TEMP_DIR_H_
