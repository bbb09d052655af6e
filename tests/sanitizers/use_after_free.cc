// Reads memory that was given back.
int main() {
  int* volatile number = new int(1);
  int* const kept = number;
  delete number;
  int* volatile dangling = kept;
  return *dangling == 2 ? 1 : 0;
}
