#ifndef SERVICE_ADMIN_HTTP_SERVER_H_
#define SERVICE_ADMIN_HTTP_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "service/admin/http_connection.h"
#include "service/admin/http_request.h"
#include "service/rpc/connections/listener.h"

namespace admin {

// Serves a few pages over HTTP/1.1 to operators, probes and Prometheus.
//
// The problem: it must answer when nothing else does, and no peer may delay the end of the process.
// HTTP libraries use a thread for each connection and limit the wait for the next byte but not the
// whole request, so a few peers that send a byte now and then lock everybody else out and hold up a
// shutdown.
//
// Guarantees: it uses two threads and the listener's, however many peers there are. HttpLimits
// bounds the whole time for a request and for its response. Above the limit of connections the
// oldest is closed. A page that throws anything is answered with 503. So is one that takes too long,
// and so are those queued behind it; pages that never block (Kind) are served meanwhile. A page that
// waits is forgotten when its peer resets the connection, so that never more wait than there are
// connections.
//
// Threads: Add() before Start(); the other methods on one thread. Pages are rendered on the server's
// threads, one at a time.
class HttpServer {
 public:
  using Render = std::function<HttpResponse(const HttpRequest&)>;
  enum class Kind {
    kMayBlock,
    kNeverBlocks,  // Takes no lock whose holder may block.
  };

  struct Options {
    // As for Listener::Bind().
    std::string address = "";
    // File that receives the bound HOST:PORT; empty: none.
    std::string port_file = "";
    HttpLimits limits{};
  };

  explicit HttpServer(Options options);
  // Closes it. The thread of a page that still blocks is abandoned.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Adds a page, "/readyz". A path with a query, "/readyz?verbose", is a page of its own, of its own
  // kind, for exactly this query; the page without one gets all others.
  void Add(const std::string& path, Render render, Kind kind = Kind::kMayBlock);

  // Listens, writes the port file and serves. Refuses a connection whose file descriptor would be
  // `max_descriptors` or above.
  //
  // Errors: those of Listener::Bind() and Listen(); UNAVAILABLE when the port file cannot be
  // written, or a thread cannot be created.
  absl::Status Start(int max_descriptors);

  // "127.0.0.1:50080"; empty before Start().
  std::string address() const;

  // Refuses new connections, and ends the others once they are answered, or after a short wait.
  // Closing twice does nothing.
  //
  // DEADLINE_EXCEEDED: a page still blocks, and what it uses must not be destroyed.
  absl::Status Close();

 private:
  struct Page {
    Render render;
    Kind kind;
  };
  struct State;
  class Loop;

  absl::Status StartThreads();
  static void RenderPages(const std::shared_ptr<State>& state);

  const Options options_;
  // Shared with the threads: the one that renders pages may hang forever.
  const std::shared_ptr<State> state_;
  std::unique_ptr<rpc::Listener> listener_;
  std::thread connections_;
  std::thread pages_;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_HTTP_SERVER_H_
