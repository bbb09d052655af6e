// Counts in two threads, with nothing between them.
#include <thread>

namespace {
int count = 0;

void Count() {
  for (int i = 0; i < 1000; ++i) ++count;
}
}  // namespace

int main() {
  std::jthread one(Count);
  std::jthread other(Count);
}
