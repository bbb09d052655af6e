"""npm_packages: what tests/rolling/callers/package-lock.json names, as one directory for the `data` of tests.

    npm_packages(name = "callers_npm")

makes
    @callers_npm//:node          the Node.js of this machine
    @callers_npm//:node_modules  what `npm ci` installs; no package's own script is run

It is made when a target first needs it, and again when the lock or the package.json beside it has changed, or when
bazelw finds npm for the first time. Without npm it is empty, and node ends with a sentence.
"""

_NO_NODE = """#!/bin/sh
echo "Node.js or npm was not there when Bazel looked: apt-get install nodejs npm (Node.js 18 or newer)" >&2
echo "(./bazelw test installs everything that tests need.)" >&2
exit 1
"""

def _npm_packages_impl(rctx):
    rctx.file("BUILD", 'exports_files(["node", "node_modules"])\n')
    rctx.file("WORKSPACE", "")
    if not rctx.which("node") or not rctx.which("npm"):
        # To build takes neither; to run tests does.
        rctx.file("node", _NO_NODE)
        rctx.file("node_modules/none", "")
        return
    for file in ["package.json", "package-lock.json"]:
        rctx.file(file, rctx.read(Label("//tests/rolling:callers/" + file)))
    installed = rctx.execute(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        timeout = 300,
    )
    if installed.return_code != 0:
        fail("@%s: npm ci ended with %d\n%s" % (rctx.name, installed.return_code, installed.stderr))
    rctx.symlink(rctx.which("node"), "node")

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    environ = ["BAZELW_WITHOUT_NPM", "PATH"],
)
