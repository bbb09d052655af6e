#include "service/admin/build_info.h"

#include <link.h>

#include <cstddef>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "grpcpp/grpcpp.h"

namespace admin {
namespace {

std::size_t Aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// The build id among some notes; empty: there is none.
std::string BuildIdIn(const char* notes, std::size_t size) {
  std::size_t at = 0;
  while (at + sizeof(ElfW(Nhdr)) <= size) {
    ElfW(Nhdr) note{};
    std::memcpy(&note, notes + at, sizeof note);
    const std::size_t name = at + sizeof note;
    const std::size_t id = name + Aligned(note.n_namesz);
    if (id + note.n_descsz > size) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(notes + name, "GNU", 4) == 0) {
      return std::string(absl::BytesToHexString(absl::string_view(notes + id, note.n_descsz)));
    }
    at = id + Aligned(note.n_descsz);
  }
  return "";
}

// Of the program: the first of the loaded objects.
int Look(dl_phdr_info* object, std::size_t /*size*/, void* result) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = object->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const auto* const notes = reinterpret_cast<const char*>(object->dlpi_addr + header.p_vaddr);
    auto& id = *static_cast<std::string*>(result);
    if (id.empty()) id = BuildIdIn(notes, header.p_memsz);
  }
  return 1;  // No other.
}

}  // namespace

std::string BuildInfo() {
  std::string id;
  dl_iterate_phdr(Look, &id);
#ifdef NDEBUG
  const char* const mode = "optimized";
#else
  const char* const mode = "not optimized";
#endif
  return absl::StrCat("build ", id.empty() ? "unknown" : id.substr(0, 12), ", ", mode, ", gRPC ",
                      grpc::Version());
}

}  // namespace admin
