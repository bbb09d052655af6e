// Shifts by more bits than there are.
int main() {
  volatile int bits = 40;
  volatile int result = 1 << bits;
  return result == 3 ? 1 : 0;
}
