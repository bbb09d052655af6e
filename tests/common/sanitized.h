#ifndef TESTS_COMMON_SANITIZED_H_
#define TESTS_COMMON_SANITIZED_H_

namespace testkit {

// Whether asan or tsan watches, which make a process several times slower, its start and its
// exit above all. tsan's own macro is hidden from the standard library's headers (.bazelrc).
#if defined(__SANITIZE_ADDRESS__) || defined(_GLIBCXX_TSAN)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace testkit

#endif  // TESTS_COMMON_SANITIZED_H_
