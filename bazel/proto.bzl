"""grpc_proto_library: a .proto file and its C++, in one target declaration.

    load("//bazel:proto.bzl", "grpc_proto_library")

    grpc_proto_library(
        name = "orders",
        srcs = ["orders.proto"],
        grpc = True,
        deps = ["//proto/google/rpc:status_proto", "@com_google_protobuf//:timestamp_proto"],
    )

makes
    orders_proto     the proto_library: what other protos name in their `deps`
    orders_cc_proto  its messages,  #include "orders/v1/orders.pb.h"
    orders_cc_grpc   its services (and its messages), #include "orders/v1/orders.grpc.pb.h"; only with grpc = True

Paths in `import` and `#include` are relative to proto/, which is also the root of the buf module. A .proto that lies
elsewhere says `root = ""`, and its paths are relative to the workspace.
"""

load("@com_google_protobuf//bazel:cc_proto_library.bzl", "cc_proto_library")
load("@com_google_protobuf//bazel:proto_library.bzl", "proto_library")
load("@com_google_protobuf//bazel/common:proto_info.bzl", "ProtoInfo")
load("@rules_cc//cc:cc_library.bzl", "cc_library")

def _generate_grpc_impl(ctx):
    proto = ctx.attr.proto[ProtoInfo]
    sources = []
    headers = []
    imports = []
    for source in proto.direct_sources:
        # What the file is called in an `import`: its path below the root that proto_library gave it.
        name = source.path
        if name.startswith(proto.proto_source_root + "/"):
            name = name[len(proto.proto_source_root) + 1:]
        stem = source.basename[:-len(".proto")]
        sources.append(ctx.actions.declare_file(stem + ".grpc.pb.cc"))
        headers.append(ctx.actions.declare_file(stem + ".grpc.pb.h"))
        imports.append(name)

    # The generator appends the import's directory to the one that it is given.
    below = imports[0].rpartition("/")[0]
    directory = headers[0].dirname
    if below and not directory.endswith("/" + below):
        fail("%s is imported as %s, which is not the end of its path" % (headers[0].path, imports[0]))
    arguments = ctx.actions.args()
    arguments.add(ctx.executable._plugin, format = "--plugin=protoc-gen-grpc=%s")
    arguments.add("--grpc_out=" + (directory[:-len(below) - 1] if below else directory))
    arguments.add_joined("--descriptor_set_in", proto.transitive_descriptor_sets, join_with = ":")
    arguments.add_all(imports)
    ctx.actions.run(
        executable = ctx.executable._protoc,
        arguments = [arguments],
        inputs = proto.transitive_descriptor_sets,
        tools = [ctx.executable._plugin],
        outputs = sources + headers,
        mnemonic = "GenGrpc",
        progress_message = "Generating gRPC C++ %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset(sources + headers)),
        OutputGroupInfo(sources = depset(sources), headers = depset(headers)),
    ]

_generate_grpc = rule(
    implementation = _generate_grpc_impl,
    attrs = {
        "proto": attr.label(mandatory = True, providers = [ProtoInfo]),
        "_plugin": attr.label(
            default = "@com_github_grpc_grpc//src/compiler:grpc_cpp_plugin",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
        "_protoc": attr.label(
            default = "@com_google_protobuf//:protoc",
            allow_single_file = True,
            executable = True,
            cfg = "exec",
        ),
    },
)

def grpc_proto_library(name, srcs, deps = [], grpc = False, root = "proto", visibility = None, **kwargs):
    """See the top of this file.

    Args:
      name: the stem of the names of what is made.
      srcs: .proto files of this package.
      deps: the proto_library targets (`..._proto`) of what `srcs` import.
      grpc: whether `srcs` declare services.
      root: the directory, seen from the workspace, that imports and includes are relative to.
      visibility: of everything that is made.
      **kwargs: what every rule takes (testonly, tags, ...).
    """
    proto_library(
        name = name + "_proto",
        srcs = srcs,
        strip_import_prefix = "/" + root if root else None,
        visibility = visibility,
        deps = deps,
        **kwargs
    )
    cc_proto_library(
        name = name + "_cc_proto",
        visibility = visibility,
        deps = [":" + name + "_proto"],
        **kwargs
    )
    if grpc:
        _generate_grpc(
            name = name + "_grpc_files",
            proto = ":" + name + "_proto",
            visibility = ["//visibility:private"],
            **kwargs
        )
        cc_library(
            name = name + "_cc_grpc",
            srcs = [":" + name + "_grpc_files"],
            hdrs = [":" + name + "_grpc_files"],
            strip_include_prefix = "/" + root if root else None,
            visibility = visibility,
            deps = [
                ":" + name + "_cc_proto",
                "@com_github_grpc_grpc//:grpc++",
                "@com_github_grpc_grpc//:grpc++_codegen_proto",
            ],
            **kwargs
        )
