"""The distribution's -dev packages, under the labels that the Bazel Central Registry uses.

To add a library: one `system_package(...)` at the end of this file, its apt package in bazel/packages.txt, and its
module in MODULE.bazel. A repository is made only when a target needs it, so a missing package stops nothing else.

Bazel does not watch /usr/include: after an upgrade of a -dev package run `./bazelw clean`.
"""

def _fail_missing(rctx, what, also = ""):
    fail("""@{repository}: {what}

    A package is missing. On Debian and Ubuntu: apt-get install {apt}
    (./bazelw installs everything that is needed.)
""".format(repository = rctx.name, what = what, apt = also + rctx.attr.apt))

def _pkg_config(rctx, modules, *options):
    """The compiler's and the linker's flags for some pkg-config modules."""
    if not modules:
        return []
    if not rctx.which("pkg-config"):
        _fail_missing(rctx, "pkg-config was not found.", also = "pkg-config ")
    answer = rctx.execute(["pkg-config", "--cflags", "--libs"] + list(options) + modules)
    if answer.return_code != 0:
        _fail_missing(rctx, answer.stderr.strip())
    return [word for word in answer.stdout.replace("\n", " ").split(" ") if word]

def _linked(flags):
    """The names of the libraries in them, once each: pkg-config names the same one many times."""
    return {flag[2:]: None for flag in flags if flag.startswith("-l")}.keys()

# Parts of the C library, and OpenSSL, which libpq loads as well.
_ALWAYS_SHARED = ["atomic", "crypto", "dl", "m", "pthread", "rt", "ssl"]

# Only OpenSSL's archive would need it.
_NOT_NEEDED = ["zstd"]

def _linked_in(rctx, modules):
    """The names of the libraries that are to be a part of the program, and of what they need."""
    return [library for library in _linked(_pkg_config(rctx, modules, "--static")) if library not in _NOT_NEEDED]

def _as_archive(library):
    return "-l" + library if library in _ALWAYS_SHARED else "-l:lib%s.a" % library

def _has_archives(rctx):
    """Whether gRPC, and all that it needs, can be linked in. A part of it alone would be there twice."""
    needed = _linked_in(rctx, ["grpc++", "protobuf"])
    files = ["lib%s.a" % library for library in needed if library not in _ALWAYS_SHARED]
    found = rctx.execute(["sh", "-c", 'for file; do cc -print-file-name="$file"; done', "sh"] + files)
    return found.return_code == 0 and all([path.startswith("/") for path in found.stdout.strip().split("\n")])

def _cc_library(rctx, name, words, has_archives):
    """The BUILD text for one library; `words` are what system_package's `libraries` describes."""
    deps = [word for word in words if word[0] in "@:"]
    kept = [word[1:] for word in words if word[0] == "!"]
    modules = [word for word in words if word[0] not in "@:!?"]
    for word in words:
        # A module that only newer packages have; without it the library is empty.
        if word[0] == "?" and rctx.execute(["pkg-config", "--exists", word[1:]]).return_code == 0:
            modules.append(word[1:])
    flags = _pkg_config(rctx, modules)
    includes = []
    defines = []
    for flag in flags:
        if flag.startswith("-I"):
            # `includes` takes no absolute path: go through a link.
            directory = "include/%s/%d" % (name, len(includes))
            rctx.symlink(flag[2:], directory)
            includes.append(directory)
        elif flag.startswith("-D"):
            defines.append(flag[2:])
    linkopts = ["-Wl,--no-as-needed,-l" + library for library in kept]
    linked = _linked(flags)
    if linked:
        # A library that a program does not call stays out of it.
        linkopts += ["-Wl,--push-state,--as-needed"] + ["-l" + library for library in linked] + ["-Wl,--pop-state"]
    archives = linkopts
    if has_archives:
        archives = ["-Wl,--whole-archive,-l:lib%s.a,--no-whole-archive" % library for library in kept]
        linked_in = _linked_in(rctx, modules)
        if linked_in:
            archives.append("-Wl,--push-state,--as-needed,--start-group")  # They call one another.
            archives += [_as_archive(library) for library in linked_in]
            archives.append("-Wl,--end-group,--pop-state")
    pthread = ["-pthread"] if "-pthread" in flags else []
    return """
cc_library(
    name = {name},
    hdrs = glob({headers}),
    defines = {defines},
    includes = {includes},
    linkopts = select({{
        "//:linked_in": {archives},
        "//conditions:default": {linkopts},
    }}),
    deps = {deps},
)
""".format(
        name = repr(name),
        headers = repr([include + "/**/*.h" for include in includes]),
        defines = repr(defines),
        includes = repr(includes),
        archives = repr(archives + pthread),
        linkopts = repr(linkopts + pthread),
        deps = repr(deps),
    )

_LINKED_IN = """
config_setting(
    name = "linked_in",
    values = {"define": "libraries=linked_in"},
)
"""

def _system_package_impl(rctx):
    for link, target in rctx.attr.links.items():
        if not rctx.path(target).exists:
            _fail_missing(rctx, target + " does not exist.")
        rctx.symlink(target, link)
    packages = dict(rctx.attr.packages)
    has_archives = rctx.attr.archives and _has_archives(rctx)
    for label, words in rctx.attr.libraries.items():
        package, _, name = label.rpartition(":")
        packages[package] = packages.get(package, "") + _cc_library(rctx, name, words, has_archives)
    packages[""] = _LINKED_IN + packages.get("", "")
    for package, text in packages.items():
        rctx.file(package + "/BUILD" if package else "BUILD", 'package(default_visibility = ["//visibility:public"])\n' + text)
    for path, text in rctx.attr.files.items():
        rctx.file(path, text)
    rctx.file("WORKSPACE", "")

system_package = repository_rule(
    implementation = _system_package_impl,
    local = True,
    configure = True,
    attrs = {
        "apt": attr.string(doc = "The packages to name when something is missing."),
        "libraries": attr.string_list_dict(
            doc = "'package:name' -> words: '@...' or ':...' is a dep, '!...' a library that is kept though nothing calls it, '?...' a pkg-config module that may be missing, else one that may not.",
        ),
        "archives": attr.bool(doc = "With --config=release the libraries, and those that they need, become part of the program."),
        "links": attr.string_dict(doc = "A path in the repository -> the absolute path that it leads to."),
        "packages": attr.string_dict(doc = "A package -> text of its BUILD file, before the libraries."),
        "files": attr.string_dict(doc = "A path in the repository -> its content."),
    },
)

def _native_rules_impl(rctx):
    packages = {}
    for path, rules in rctx.attr.files.items():
        rctx.file(path, "".join(["%s = native.%s\n" % (rule, rule) for rule in rules]))
        packages[path.rpartition("/")[0]] = None
    for package in packages:
        rctx.file(package + "/BUILD", rctx.attr.build)
    rctx.file("BUILD", rctx.attr.build)
    rctx.file("WORKSPACE", "")

_native_rules = repository_rule(
    doc = "A stand-in for a rules_* repository whose rules this Bazel has built in.",
    implementation = _native_rules_impl,
    attrs = {
        "files": attr.string_list_dict(doc = "A .bzl file -> the native rules that it hands on."),
        "build": attr.string(doc = "The text of every BUILD file in it."),
    },
)

# Bazel's own proto_library and cc_proto_library look for these two in @com_google_protobuf.
_PROTOC = """
alias(
    name = "protoc",
    actual = "bin/protoc",
)

proto_lang_toolchain(
    name = "cc_toolchain",
    blacklisted_protos = {well_known},
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
"""

_WELL_KNOWN_PROTO = """
proto_library(
    name = "{name}_proto",
    srcs = ["include/google/protobuf/{name}.proto"],
    strip_import_prefix = "include",
    deps = {deps},
)
"""

_WELL_KNOWN = {
    "any": [],
    "api": [":source_context_proto", ":type_proto"],
    "descriptor": [],
    "duration": [],
    "empty": [],
    "field_mask": [],
    "source_context": [],
    "struct": [],
    "timestamp": [],
    "type": [":any_proto", ":source_context_proto"],
    "wrappers": [],
}

# Label of an Abseil library -> its pkg-config module. All of them but those with "?" exist from 20220623 (Debian 12) on.
_ABSL = {
    "absl/algorithm:container": "absl_algorithm_container",
    "absl/base:core_headers": "absl_core_headers",
    "absl/cleanup:cleanup": "absl_cleanup",
    "absl/container:btree": "absl_btree",
    "absl/container:flat_hash_map": "absl_flat_hash_map",
    "absl/container:flat_hash_set": "absl_flat_hash_set",
    "absl/container:inlined_vector": "absl_inlined_vector",
    "absl/debugging:failure_signal_handler": "absl_failure_signal_handler",
    "absl/debugging:stacktrace": "absl_stacktrace",
    "absl/debugging:symbolize": "absl_symbolize",
    "absl/flags:commandlineflag": "absl_flags_commandlineflag",
    "absl/flags:config": "absl_flags_config",
    "absl/flags:flag": "absl_flags",
    "absl/flags:marshalling": "absl_flags_marshalling",
    "absl/flags:parse": "absl_flags_parse",
    "absl/flags:reflection": "absl_flags_reflection",
    "absl/flags:usage": "absl_flags_usage",
    "absl/functional:any_invocable": "absl_any_invocable",
    "absl/functional:bind_front": "absl_bind_front",
    "absl/functional:function_ref": "absl_function_ref",
    "absl/hash:hash": "absl_hash",
    "absl/log:globals": "?absl_log_globals",
    "absl/log:initialize": "?absl_log_initialize",
    "absl/log:log_entry": "?absl_log_entry",
    "absl/log:log_sink": "?absl_log_sink",
    "absl/log:log_sink_registry": "?absl_log_sink_registry",
    "absl/memory:memory": "absl_memory",
    "absl/random:random": "absl_random_random",
    "absl/status:status": "absl_status",
    "absl/status:statusor": "absl_statusor",
    "absl/strings:cord": "absl_cord",
    "absl/strings:str_format": "absl_str_format",
    "absl/strings:strings": "absl_strings",
    "absl/synchronization:synchronization": "absl_synchronization",
    "absl/time:time": "absl_time",
    "absl/types:optional": "absl_optional",
    "absl/types:span": "absl_span",
}

def _bazel_parts():
    """What Bazel's own files load by name, and would otherwise download."""
    cc_rules = ["cc_binary", "cc_import", "cc_library", "cc_test"]
    _native_rules(
        name = "rules_cc",
        build = """
alias(
    name = "toolchain_type",
    actual = "@bazel_tools//tools/cpp:toolchain_type",
    visibility = ["//visibility:public"],
)
""",
        files = dict(
            {"cc/%s.bzl" % rule: [rule] for rule in cc_rules},
            **{"cc/defs.bzl": cc_rules + ["cc_proto_library", "cc_toolchain", "cc_toolchain_suite", "objc_library"]}
        ),
    )
    _native_rules(
        name = "rules_java",
        files = {"java/defs.bzl": [
            "java_binary",
            "java_import",
            "java_library",
            "java_package_configuration",
            "java_plugin",
            "java_runtime",
            "java_test",
            "java_toolchain",
        ]},
    )
    _native_rules(
        name = "rules_shell",
        files = {"shell/%s.bzl" % rule: [rule] for rule in ["sh_binary", "sh_library", "sh_test"]},
    )
    _native_rules(
        name = "remote_coverage_tools",
        build = """
package(default_visibility = ["//visibility:public"])
[filegroup(name = name) for name in ["coverage_output_generator", "coverage_report_generator", "lcov_merger"]]
""",
    )

def system_packages():
    """Declares every external repository of this workspace."""
    _bazel_parts()

    system_package(
        name = "com_google_protobuf",
        apt = "protobuf-compiler libprotobuf-dev",
        links = {
            "bin/protoc": "/usr/bin/protoc",
            "include/google/protobuf": "/usr/include/google/protobuf",
        },
        archives = True,
        libraries = {
            ":protobuf": ["protobuf"],
            "src/google/protobuf/util:differencer": ["@com_google_protobuf//:protobuf"],
            "src/google/protobuf/util:json_util": ["@com_google_protobuf//:protobuf"],
            "src/google/protobuf/util:time_util": ["@com_google_protobuf//:protobuf"],
        },
        packages = {
            "": _PROTOC.format(well_known = repr([":%s_proto" % name for name in _WELL_KNOWN])) + "".join([
                _WELL_KNOWN_PROTO.format(name = name, deps = repr(deps))
                for name, deps in _WELL_KNOWN.items()
            ]),
            "bazel": "",
            "bazel/common": "",
        },
        files = {
            "bazel/cc_proto_library.bzl": "cc_proto_library = native.cc_proto_library\n",
            "bazel/proto_library.bzl": "proto_library = native.proto_library\n",
            # Two files, because a global cannot be made from a builtin of the same name.
            "bazel/common/builtin.bzl": "proto_info = ProtoInfo\n",
            "bazel/common/proto_info.bzl": 'load(":builtin.bzl", "proto_info")\n\nProtoInfo = proto_info\n',
        },
    )
    system_package(
        name = "com_github_grpc_grpc",
        apt = "libgrpc++-dev protobuf-compiler-grpc",
        links = {"src/compiler/bin/grpc_cpp_plugin": "/usr/bin/grpc_cpp_plugin"},
        archives = True,
        libraries = {
            # "!": gRPC 1.51 makes what its headers call when it is loaded; the other two register themselves then.
            ":grpc++": ["!grpc++", "grpc++", "@com_google_protobuf//:protobuf"],
            ":grpc++_codegen_proto": [":grpc++"],
            ":grpc++_reflection": ["!grpc++_reflection", ":grpc++"],
            ":grpcpp_channelz": ["!grpcpp_channelz", ":grpc++"],
            ":grpc++_test": [":grpc++", "@com_google_googletest//:gtest"],
        },
        packages = {
            "src/compiler": 'alias(name = "grpc_cpp_plugin", actual = "bin/grpc_cpp_plugin")\n',
        },
    )
    system_package(
        name = "com_google_absl",
        apt = "libabsl-dev",
        archives = True,
        libraries = {label: [module] for label, module in _ABSL.items()},
    )
    system_package(
        name = "com_google_googletest",
        apt = "libgtest-dev libgmock-dev",
        libraries = {":gtest": ["gmock"], ":gtest_main": ["gmock_main", ":gtest"]},
    )
    system_package(
        name = "prometheus_cpp",
        apt = "prometheus-cpp-dev",
        libraries = {"core:core": ["prometheus-cpp-core"]},
    )
    system_package(name = "spdlog", apt = "libspdlog-dev", libraries = {":spdlog": ["spdlog"]})
    system_package(name = "sqlite3", apt = "libsqlite3-dev", libraries = {":sqlite3": ["sqlite3"]})
    system_package(name = "libpq", apt = "libpq-dev", libraries = {":libpq": ["libpq"]})

    # The registry's gRPC is linked with BoringSSL, the distribution's with OpenSSL: what both have is used, under one
    # name (bazel/openssl).
    system_package(
        name = "boringssl",
        apt = "libssl-dev",
        libraries = {":crypto": ["libcrypto"], ":ssl": ["libssl", ":crypto"]},
    )
