#include "service/orders/random_id.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace orders {
namespace {

constexpr std::size_t kDigits = 32;

TEST(NewRandomId, Has128BitsInHexadecimalDigits) {
  std::array<std::set<char>, kDigits> seen;
  for (int i = 0; i < 500; ++i) {
    const std::string id = NewRandomId();
    ASSERT_EQ(id.size(), kDigits);
    for (std::size_t at = 0; at < kDigits; ++at) {
      EXPECT_TRUE(std::isxdigit(static_cast<unsigned char>(id[at]))) << id;
      seen[at].insert(id[at]);
    }
  }
  // Every digit takes every value: no bit is fixed.
  for (const std::set<char>& digits : seen) EXPECT_EQ(digits.size(), 16u);
}

TEST(NewRandomId, DiffersOnEveryThread) {
  constexpr int kThreads = 8;
  constexpr int kEach = 1000;
  std::vector<std::vector<std::string>> drawn(kThreads);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : drawn) {
      threads.emplace_back([&mine] {
        for (int i = 0; i < kEach; ++i) mine.push_back(NewRandomId());
      });
    }
  }
  std::set<std::string> all;
  for (const auto& mine : drawn) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kThreads * kEach));
}

// A generator in this process's memory would be copied, and go on in the same way.
TEST(NewRandomId, DiffersInACopyOfTheProcess) {
  const std::string before = NewRandomId();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string id = NewRandomId();
    _exit(write(ends[1], id.data(), id.size()) == static_cast<ssize_t>(kDigits) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  std::string of_copy(kDigits, ' ');
  EXPECT_EQ(read(ends[0], of_copy.data(), kDigits), static_cast<ssize_t>(kDigits));
  EXPECT_NE(of_copy, NewRandomId());
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace orders
