"""npm_packages: what tests/rolling/callers/package-lock.json names, as one directory for the `data` of tests.

    npm_packages(name = "callers_npm")

makes
    @callers_npm//:node          the Node.js of this machine
    @callers_npm//:node_modules  what `npm ci` installs; no package's own script is run

It is made when a target first needs it, and again when the lock or the package.json beside it has changed, when bazelw
finds npm for the first time, or when CALLERS_NPM_AGAIN has another value. Without npm, or where `npm ci` fails, as without
a network, it is empty, and node ends with a sentence, which tests report: to build takes neither.
"""

_NO_NODE = """#!/bin/sh
cat >&2 <<'END'
{cause}
{remedy}
END
exit 1
"""

def _make_empty(rctx, cause, remedy):
    rctx.delete("node_modules")
    rctx.file("node_modules/none", "")
    rctx.file("node", _NO_NODE.format(cause = cause, remedy = remedy))

def _cause(stderr):
    """The first line of npm's that is a sentence: what comes before are codes, and what comes after advice."""
    for line in stderr.split("\n"):
        for prefix in ["npm error ", "npm ERR! "]:
            line = line[len(prefix):] if line.startswith(prefix) else line
        if line.strip() and line.split(" ")[0] not in ["npm", "code", "syscall", "errno", "path"]:
            return line.strip()
    return "it does not say why"

def _next(again):
    return int(again) + 1 if again.isdigit() else 1

def _npm_packages_impl(rctx):
    rctx.file("BUILD", 'exports_files(["node", "node_modules"])\n')
    rctx.file("WORKSPACE", "")
    if not rctx.which("node") or not rctx.which("npm"):
        _make_empty(
            rctx,
            "Node.js or npm was not there when Bazel looked: apt-get install nodejs npm (Node.js 18 or newer)",
            "(./bazelw test installs everything that tests need.)",
        )
        return
    for file in ["package.json", "package-lock.json"]:
        rctx.file(file, rctx.read(Label("//tests/rolling:callers/" + file)))
    installed = rctx.execute(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        timeout = 300,
    )
    if installed.return_code != 0:
        again = _next(rctx.os.environ.get("CALLERS_NPM_AGAIN", ""))
        _make_empty(
            rctx,
            "npm ci ended with %d when Bazel ran it: %s" % (installed.return_code, _cause(installed.stderr)),
            "Remedy: what it says, or a network; then CALLERS_NPM_AGAIN=%d ./bazelw test ..." % again,
        )
        return
    rctx.symlink(rctx.which("node"), "node")

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    environ = ["BAZELW_WITHOUT_NPM", "CALLERS_NPM_AGAIN", "PATH"],
)
