#ifndef SERVICE_ORDERS_RANDOM_ID_H_
#define SERVICE_ORDERS_RANDOM_ID_H_

#include <string>

namespace orders {

// 128 bits from the operating system as 32 hexadecimal digits. No two are ever equal, on any
// thread, replica or copy of a virtual machine: there is no generator whose seed they could share.
std::string NewRandomId();

}  // namespace orders

#endif  // SERVICE_ORDERS_RANDOM_ID_H_
