#include "service/admin/readiness.h"

#include "absl/strings/str_cat.h"
#include "service/lifecycle/last_resort/run_or_catch.h"
#include "service/observability/printable.h"

namespace admin {

using lifecycle::Phase;

HttpResponse Readiness(Phase phase) {
  if (phase == Phase::kServing) return {200, "ready\n"};
  return {503, absl::StrCat("not ready: the phase is ", lifecycle::PhaseName(phase), "\n")};
}

HttpResponse ReadinessInDetail(Phase phase, const std::vector<ReadinessCheck>& checks) {
  HttpResponse response = Readiness(phase);
  std::string lines = absl::StrCat(response.status == 200 ? "[+]" : "[-]",
                                   "phase: ", lifecycle::PhaseName(phase), "\n");
  for (const ReadinessCheck& each : checks) {
    const absl::Status status = lifecycle::RunOrCatch(each.check);
    absl::StrAppend(&lines, status.ok() ? "[+]" : "[-]", each.name, ": ",
                    status.ok() ? "ok" : observability::Printable(status.ToString()), "\n");
  }
  response.body = absl::StrCat(lines, response.body);
  return response;
}

}  // namespace admin
