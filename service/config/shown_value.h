#ifndef SERVICE_CONFIG_SHOWN_VALUE_H_
#define SERVICE_CONFIG_SHOWN_VALUE_H_

#include <string>

namespace config {

// A flag's value as it may be shown: with "***" instead of the password of a URL, be it between the
// user's name and the host or a parameter whose name ends in "password".
std::string ShownValue(const std::string& value);

}  // namespace config

#endif  // SERVICE_CONFIG_SHOWN_VALUE_H_
