#ifndef SERVICE_CONFIG_SHOWN_VALUE_H_
#define SERVICE_CONFIG_SHOWN_VALUE_H_

#include <string>

namespace config {

// A flag's value as it may be shown: with "***" instead of what may be the password of a URL, between
// the user's name and the last @, and of every parameter that is not known to be harmless. So it is
// in "host=db password=s3cret".
//
// Guarantees: a password is hidden also when its characters end another part of a URL ('?', '@', '/',
// '#'), and so may be what stands behind it.
std::string ShownValue(const std::string& value);

}  // namespace config

#endif  // SERVICE_CONFIG_SHOWN_VALUE_H_
