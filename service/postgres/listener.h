#ifndef SERVICE_POSTGRES_LISTENER_H_
#define SERVICE_POSTGRES_LISTENER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/postgres/abandonable_thread.h"
#include "service/postgres/connection.h"
#include "service/postgres/url.h"

namespace postgres {

// Calls `on_news` for every NOTIFY on one channel.
//
// The problem: a notification that is sent while nobody is connected is lost. So `on_news` is also
// called whenever a connection is made, and once when it is lost. It says that there may be news,
// not what they are: its user reads the tables, and reads them from time to time without it, too.
//
// Threads: Close() may be called from any thread. `on_news` runs on the listener's own thread, must
// not block, and is not called after Close() has returned.
class Listener {
 public:
  // `channel`: an SQL identifier that needs no quotes.
  Listener(const Url& url, const std::string& channel, std::function<void()> on_news);

  // Closes without waiting.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // DEADLINE_EXCEEDED: its thread is blocked in the C library and was abandoned.
  absl::Status Close(TimePoint deadline);

 private:
  struct State;

  const std::shared_ptr<State> state_;
  const AbandonableThread thread_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_LISTENER_H_
