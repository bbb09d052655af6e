#ifndef CLIENT_ORDERS_ORDERS_COMMANDS_H_
#define CLIENT_ORDERS_ORDERS_COMMANDS_H_

#include <vector>

#include "client/command.h"

namespace client {

// The commands for callers of orders and inventory: place, get, cancel, list, watch,
// import, track, sales, stock.
std::vector<Command> OrdersCommands();

}  // namespace client

#endif  // CLIENT_ORDERS_ORDERS_COMMANDS_H_
