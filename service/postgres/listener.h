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

// Hears every NOTIFY on one channel.
//
// The problem: a notification that is sent while nobody is connected is gone. So whoever waits is
// also woken when the connection is made, and once when it is lost: they look for themselves, and
// look now and then in any case.
//
// Threads: Close() may be called from any thread. `on_news` runs on a thread of the listener's,
// must not block, and is not called after Close() has returned.
class Listener {
 public:
  // `channel`: a name that needs no quotes.
  Listener(const Url& url, const std::string& channel, std::function<void()> on_news);

  // Closes, and waits for nobody.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // DEADLINE_EXCEEDED: its thread is held up in the C library, and was left behind.
  absl::Status Close(TimePoint deadline);

 private:
  struct State;

  const std::shared_ptr<State> state_;
  const AbandonableThread thread_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_LISTENER_H_
