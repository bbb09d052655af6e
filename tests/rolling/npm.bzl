"""npm_packages: what tests/rolling/callers/package-lock.json names, as one directory for the `data` of tests.

    npm_packages(name = "callers_npm")

makes
    @callers_npm//:node          the Node.js of this machine
    @callers_npm//:node_modules  what `npm ci` installs; no package's own script is run

It is made when a target first needs it, and again when the lock or the package.json beside it has changed.
"""

def _npm_packages_impl(rctx):
    for program in ["node", "npm"]:
        if not rctx.which(program):
            fail("""@{repository}: {program} was not found on the PATH, which is {path}.

    On Debian and Ubuntu: apt-get install nodejs npm    (Node.js 18 or newer)
    (./bazelw test installs everything that tests need.)
""".format(repository = rctx.name, program = program, path = rctx.os.environ.get("PATH")))
    for file in ["package.json", "package-lock.json"]:
        rctx.file(file, rctx.read(Label("//tests/rolling:callers/" + file)))
    installed = rctx.execute(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        timeout = 300,
    )
    if installed.return_code != 0:
        fail("@%s: npm ci ended with %d\n%s" % (rctx.name, installed.return_code, installed.stderr))
    rctx.symlink(rctx.which("node"), "node")
    rctx.file("BUILD", 'exports_files(["node", "node_modules"])\n')
    rctx.file("WORKSPACE", "")

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    environ = ["PATH"],
)
