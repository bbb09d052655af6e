#include "client/orders/progress_bar.h"

#include <sstream>
#include <string>

#include "client/terminal.h"
#include "gtest/gtest.h"

namespace client {
namespace {

std::string Line(const std::string& bar, const std::string& text) {
  return kEraseLine + ("[" + bar + std::string(40 - bar.size(), ' ') + "] " + text);
}

TEST(ProgressBarTest, ShowsWhatIsStoredAndWhatIsSent) {
  std::ostringstream out;
  ProgressBar bar(&out, 80);
  bar.Show(10, 20);
  EXPECT_EQ(out.str(), Line("=====-----", "10 of 80 stored"));
}

TEST(ProgressBarTest, IsFullAtTheEnd) {
  std::ostringstream out;
  ProgressBar bar(&out, 3);
  bar.Show(3, 3);
  EXPECT_EQ(out.str(), Line(std::string(40, '='), "3 of 3 stored"));
}

TEST(ProgressBarTest, DrawsOnlyWhatIsNew) {
  std::ostringstream out;
  ProgressBar bar(&out, 4000);
  for (int sent = 0; sent < 100; ++sent) bar.Show(0, sent);
  EXPECT_EQ(out.str(), Line("", "0 of 4000 stored"));
  bar.Show(0, 100);
  EXPECT_EQ(out.str(), Line("", "0 of 4000 stored") + Line("-", "0 of 4000 stored"));
}

TEST(ProgressBarTest, ErasesItsLine) {
  std::ostringstream out;
  {
    ProgressBar bar(&out, 4);
    bar.Show(0, 0);
    out.str("");
    bar.Hide();
    EXPECT_EQ(out.str(), kEraseLine);
  }
  EXPECT_EQ(out.str(), kEraseLine);
}

}  // namespace
}  // namespace client
