#include "service/lifecycle/last_resort/run_or_catch.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lifecycle {
namespace {

TEST(RunOrCatch, ReturnsWhatTheWorkReturns) {
  EXPECT_EQ(RunOrCatch([] { return absl::OkStatus(); }), absl::OkStatus());
  EXPECT_EQ(RunOrCatch([] { return absl::DataLossError("no disk"); }),
            absl::DataLossError("no disk"));
}

TEST(RunOrCatch, ReturnsWhatTheWorkThrows) {
  EXPECT_EQ(RunOrCatch([]() -> absl::Status { throw std::runtime_error("no disk"); }),
            absl::InternalError("threw: no disk"));
  EXPECT_EQ(RunOrCatch([]() -> absl::Status { throw 7; }),
            absl::InternalError("threw something that is not a std::exception"));
}

}  // namespace
}  // namespace lifecycle
