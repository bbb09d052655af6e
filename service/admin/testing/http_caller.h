#ifndef SERVICE_ADMIN_TESTING_HTTP_CALLER_H_
#define SERVICE_ADMIN_TESTING_HTTP_CALLER_H_

#include <string>

namespace admin {

struct HttpAnswer {
  int status = 0;  // 0: no answer.
  std::string header;
  std::string body;
};

// A connection of which a test decides every byte. Waits end after 30 s.
class HttpCaller {
 public:
  // `address`: "127.0.0.1:50080".
  explicit HttpCaller(const std::string& address);
  ~HttpCaller();
  HttpCaller(const HttpCaller&) = delete;
  HttpCaller& operator=(const HttpCaller&) = delete;

  // False: refused, or already ended.
  bool Send(const std::string& bytes);

  // Reads to the end of the connection.
  HttpAnswer AwaitAnswer();

  // Reads at most one byte. False: the connection has ended, or it took too long.
  bool ReadByte();

  // Ends the connection with a reset, not in order.
  void Reset();

 private:
  int fd_ = -1;
};

// `path`: "/readyz?verbose".
HttpAnswer Get(const std::string& address, const std::string& path);

}  // namespace admin

#endif  // SERVICE_ADMIN_TESTING_HTTP_CALLER_H_
