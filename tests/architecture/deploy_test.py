#!/usr/bin/env python3
"""The files in deploy/ agree with the flags of the server, and keep the rules of their platforms.

 * systemd: TimeoutStopSec= is --termination_grace
 * Kubernetes: terminationGracePeriodSeconds is --termination_grace, a preStop hook and what the kubelet takes; the probes
   ask the ports that the flags open; a rollout takes no replica away before another one serves; the limit of memory is
   no less than callers may need within the server's own limits
 * HAProxy: it asks the port that a replica opens for it
 * Dockerfile: no shell around the server, no root; the manual gives it as much time as Kubernetes does
 * its list of packages leaves out the libraries that the build leaves out
 * flags that they set exist
"""

import os
import re

import sources
import yaml

SYSTEMD = ("deploy/systemd/orders.service", "deploy/systemd/orders@.service")
KUBERNETES = "deploy/kubernetes/"
MANUAL = "docs/operations.md"
# For the kubelet, or Docker, which do other things as well.
MARGIN = 5
# What an idle connection or an open stream takes is 18; TLS and messages come on top.
KIBIBYTES = 32


def seconds(text):
    number = re.fullmatch(r"(\d+)s?", str(text))
    if not number:
        raise SystemExit("deploy_test: %s is not in seconds" % text)
    return int(number.group(1))


def default(flag):
    """Of a number, or of seconds, as the manual says."""
    row = re.search(r"^\| `--%s` \| [^|]* \| (\d+)s? \|" % flag, sources.read(MANUAL), re.M)
    return int(row.group(1))


def known_flags():
    for path in sources.files("service"):
        if path.endswith(".cc"):
            yield from sources.flags(path)


def one_line(text):
    return " ".join(text.replace("\\\n", " ").split())


def unlike(where, what, found, expected):
    if found != expected:
        yield "%s: %s is %s, and must be %s" % (where, what, found, expected)


def check_flags(where, text):
    # Without the example, what remains of its flags says so in the line.
    kept = os.path.isdir(os.path.join(sources.ROOT, "service/orders"))
    for flag in re.findall(r"(?<![\w-])--(\w+)(?![\w-])", text):
        if flag not in FLAGS and (kept or flag not in ("database", "inventory")):
            yield "%s: there is no flag --%s" % (where, flag)


def check_systemd():
    flags = sources.read("deploy/systemd/flags")
    yield from check_flags("deploy/systemd/flags", flags)
    grace = seconds(re.search(r"^--termination_grace=(\S+)$", flags, re.M).group(1))
    yield from unlike("deploy/systemd/flags", "--termination_grace", grace, default("termination_grace"))
    for path in SYSTEMD:
        unit = sources.read(path)
        setting = dict(re.findall(r"^(\w+)=(.*)$", unit, re.M))
        yield from unlike(path, "TimeoutStopSec", seconds(setting["TimeoutStopSec"]), grace)
        yield from unlike(path, "TIMEOUT_STOP_USEC", setting["Environment"], "TIMEOUT_STOP_USEC=%ds" % grace)
        yield from unlike(path, "Type", setting["Type"], "notify")
        # Also the word of the option that drains what runs.
        yield from check_flags(path, re.sub(r"--(flagfile|admin)=", "", unit))
    # How the manual lets other hosts ask it.
    unit = one_line(sources.read(SYSTEMD[0]))
    opened = "--admin_http_address=0.0.0.0:50061 --admin_allow_plaintext"
    start = re.search(r"ExecStart=.*?--admin_http_address=\S+", unit).group(0)
    start = re.sub(r"--admin_http_address=\S+", opened, start)
    if start not in one_line(sources.read(MANUAL)):
        yield "%s: the drop-in of orders.service is not %s" % (MANUAL, start)
    socket = dict(re.findall(r"^(\w+)=(.*)$", sources.read("deploy/systemd/orders.socket"), re.M))
    name = re.search(r"--address=fd:(\S+)", sources.read(SYSTEMD[0])).group(1)
    yield from unlike("deploy/systemd/orders.socket", "FileDescriptorName", socket["FileDescriptorName"], name)


def manifest(path):
    return yaml.safe_load(sources.read(KUBERNETES + path))


def args_of(container):
    return dict((arg[2:] + "=true").split("=")[:2] for arg in container["args"])


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def pre_stop(container):
    """How long its hook may take."""
    hook = container.get("lifecycle", {}).get("preStop")
    if not hook:
        return 0
    command = " ".join(hook["exec"]["command"])
    limit = re.search(r"--timeout=(\d+)s", command)
    if not limit:
        raise SystemExit("deploy_test: a preStop hook without a limit: %s" % command)
    return int(limit.group(1))


def check_budget(path, pod, container, args, told):
    hook = pre_stop(container)
    period = pod["terminationGracePeriodSeconds"]
    yield from unlike(path, "terminationGracePeriodSeconds", period, seconds(args["termination_grace"]) + hook + MARGIN)
    yield from unlike(path, "TERMINATION_GRACE_PERIOD_SECONDS", told, str(period - hook))


def check_base():
    path = KUBERNETES + "base/deployment.yaml"
    deployment = manifest("base/deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    container, = pod["containers"]
    args = args_of(container)
    told = {each["name"]: each.get("value") for each in container["env"]}["TERMINATION_GRACE_PERIOD_SECONDS"]
    yield from check_flags(path, sources.read(path))
    yield from check_budget(path, pod, container, args, told)
    patch = manifest("overlays/drain-first/deployment.yaml")["spec"]["template"]["spec"]
    yield from check_budget(KUBERNETES + "overlays/drain-first/deployment.yaml", patch, patch["containers"][0], args, told)

    if seconds(args.get("shutdown_lame_duck", 0)) < container["readinessProbe"]["periodSeconds"]:
        yield "%s: the lame duck is over before a probe has asked" % path
    yield from unlike(path, "the port of readiness", container["readinessProbe"]["grpc"], {"port": port_of(args["address"])})
    yield from unlike(path, "liveness", container["livenessProbe"]["grpc"],
                      {"port": port_of(args["admin_address"]), "service": "livez"})
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    yield from unlike(path, "ports", ports, {"grpc": port_of(args["address"]), "admin": port_of(args["admin_address"]),
                                             "admin-http": port_of(args["admin_http_address"])})
    yield from unlike(path, "maxUnavailable", deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
    yield from unlike(path, "runAsNonRoot", pod["securityContext"]["runAsNonRoot"], True)
    yield from unlike(path, "the container's securityContext", container["securityContext"],
                      {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
    limit = re.fullmatch(r"(\d+)([MG])i", container["resources"]["limits"]["memory"])
    least = (int(args.get("max_connections", default("max_connections"))) +
             int(args.get("max_calls_in_flight", default("max_calls_in_flight")))) * KIBIBYTES / 1024
    if int(limit.group(1)) * {"M": 1, "G": 1024}[limit.group(2)] < least:
        yield "%s: callers within the server's limits may need %d MiB of memory" % (path, least)


def check_kubernetes():
    yield from check_base()
    labels = manifest("base/deployment.yaml")["spec"]["selector"]["matchLabels"]
    pods = manifest("base/deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    for what, found in (("pods", pods), ("service.yaml", manifest("base/service.yaml")["spec"]["selector"]),
                        ("network-policy.yaml", manifest("base/network-policy.yaml")["spec"]["podSelector"]["matchLabels"])):
        yield from unlike(KUBERNETES + "base", "the selector of " + what, found, labels)
    replicas = manifest("overlays/postgresql/deployment.yaml")["spec"]["replicas"]
    budget = manifest("overlays/postgresql/disruption-budget.yaml")["spec"]
    if not 0 < budget["maxUnavailable"] < replicas:
        yield "%soverlays/postgresql: maxUnavailable takes all replicas, or none" % KUBERNETES
    sqlite = manifest("overlays/sqlite/deployment.yaml")["spec"]
    yield from unlike(KUBERNETES + "overlays/sqlite", "replicas and strategy",
                      (sqlite["replicas"], sqlite["strategy"]["type"]), (1, "Recreate"))
    # Every file belongs to something that is installed.
    for directory in ("base", "monitoring", "overlays/sqlite", "overlays/postgresql", "overlays/drain-first"):
        parts = manifest(directory + "/kustomization.yaml")
        named = parts.get("resources", []) + [patch["path"] for patch in parts.get("patches", [])]
        for name in named:
            if not os.path.exists(os.path.join(sources.ROOT, KUBERNETES, directory, name)):
                yield "%s%s: there is no %s" % (KUBERNETES, directory, name)
        for name in os.listdir(os.path.join(sources.ROOT, KUBERNETES, directory)):
            if name != "kustomization.yaml" and name not in named:
                yield "%s%s/%s: nothing installs it" % (KUBERNETES, directory, name)


def check_haproxy():
    path = "deploy/haproxy/haproxy.cfg"
    text = sources.read(path)
    address = args_of(manifest("base/deployment.yaml")["spec"]["template"]["spec"]["containers"][0])["admin_http_address"]
    yield from unlike(path, "the port of its check", int(re.search(r"^ +default-server check port (\d+)", text, re.M).group(1)),
                      port_of(address))
    if "`--admin_http_address=%s --admin_allow_plaintext`" % address not in one_line(sources.read(MANUAL)):
        yield "%s: it does not say which flags open that port" % MANUAL


def check_dockerfile():
    path = "deploy/Dockerfile"
    text = re.sub(r"\\\n", " ", sources.read(path))
    steps = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    last = max(i for i, step in enumerate(steps) if step[0] == "FROM")
    final = dict(steps[last:])
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", final.get("USER", "")):
        yield "%s: the server runs as root, or as a user without a number" % path
    for step in ("ENTRYPOINT", "CMD"):
        if not final.get(step, "").startswith("["):
            yield "%s: %s starts a shell, which keeps SIGTERM to itself" % (path, step)
    for keyword, rest in steps:
        if keyword == "FROM" and not re.match(r"scratch$|\S+:(?!latest)\S+", rest):
            yield "%s: FROM %s says no version" % (path, rest)
        if keyword == "ADD":
            yield "%s: ADD does more than COPY" % path
        if keyword == "RUN" and "apt-get install" in rest and "--no-install-recommends" not in rest:
            yield "%s: installs what nobody asked for: %s" % (path, rest)
        if keyword == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                if not os.path.exists(os.path.join(sources.ROOT, source)):
                    yield "%s: there is no %s" % (path, source)
    manual = one_line(sources.read(MANUAL))
    period = default("termination_grace") + MARGIN
    for run in ("docker run --stop-timeout=%d --env TERMINATION_GRACE_PERIOD_SECONDS=%d " % (period, period),
                "`stop_grace_period: %ds`" % period):
        if run not in manual:
            yield "%s: it does not say %s" % (MANUAL, run)
    yield from check_flags(path, " ".join(rest for keyword, rest in steps if keyword in ("ENTRYPOINT", "CMD")))


def check_image():
    path = "deploy/image/collect.py"
    shared, needless, said = (set(re.findall(r'"(\w+)"', re.search(r"^%s = (.*)" % name, sources.read(where), re.M).group(1)))
                              for where, name in (("bazel/system_packages.bzl", "_ALWAYS_SHARED"),
                                                  ("bazel/system_packages.bzl", "_NOT_NEEDED"), (path, "NOT_LINKED_IN")))
    yield from unlike(path, "NOT_LINKED_IN", sorted(said), sorted(shared | needless))


# Abseil has the second.
FLAGS = set(known_flags()) | {"flagfile"}


def main():
    problems = []
    for check in (check_systemd, check_kubernetes, check_haproxy, check_dockerfile, check_image):
        problems += check()
    sources.report("deploy_test", problems)


main()
