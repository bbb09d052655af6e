#!/usr/bin/env python3
"""The stop is told in the same words by the code, by its model and by the rules for its log.

 * phases, exit codes and steps: service/lifecycle/ and tests/model/stop.pml
 * events, their order, phases and exit codes: service/lifecycle/ and tests/common/order_rules.cc
 * rules: tests/model/stop.pml and tests/common/order_rules.h
"""

import re

import sources

PHASE = "service/lifecycle/phase.h"
EXIT_CODE = "service/lifecycle/exit_code.h"

# An event that is a failure at times: a call that came in the last instant was cut.
MAY_ALSO_FAIL = {"ServerStopped": ("kCancelling", "kForced")}
SEQUENCE = "service/lifecycle/shutdown_sequence"
MODEL = "tests/model/stop.pml"
RULES = "tests/common/order_rules"

# A step of the sequence, by its name.
STEP = r"^(?:void|bool) ShutdownSequence::(\w+)\([^)]*\) \{\n"

# Of a start, which the model leaves out.
NOT_IN_THE_MODEL = {"kStarting", "kUsage", "kCouldNotStart", "kBug"}
# What is checked in a log only.
NOT_RULES_OF_THE_MODEL = {"TOLD", "TIME"}


def found(pattern, path, text=None):
    """Every match in a file, or in a part of it; none means that this test reads what is there no longer."""
    matches = re.findall(pattern, sources.read(path) if text is None else text, re.S | re.M)
    if not matches:
        raise SystemExit("words_test: %s has nothing like %s" % (path, pattern))
    return matches


def unlike(what, first, its, second, others):
    if its != others:
        yield "%s: %s has %s, %s has %s" % (what, first, its, second, others)


def check_numbers():
    phases = found(r"(k\w+),", PHASE, found(r"enum class Phase \{(.*?)\}", PHASE)[0])
    numbers = [(name, str(number)) for number, name in enumerate(phases)]
    numbers += found(r"^  (k\w+) = (\d+),", EXIT_CODE)
    defined = dict(found(r"^#define (k\w+) (\d+)$", MODEL))
    for name, number in numbers:
        expected = None if name in NOT_IN_THE_MODEL else number
        yield from unlike(name, "service/lifecycle", expected, MODEL, defined.get(name))


def check_steps():
    run = found(r"^StopOutcome ShutdownSequence::Run\(\) \{(.*?)^\}", SEQUENCE + ".cc")[0]
    main = found(r"^active proctype Main\(\) \{(.*?)^\}", MODEL)[0]
    in_code = found(r"\b([A-Z]\w+)\(\)", SEQUENCE + ".cc", run)
    in_model = [step for step in found(r"\b([A-Z]\w+)\(\)", MODEL, main) if step != "MayHang"]
    yield from unlike("steps", SEQUENCE + ".cc", in_code, MODEL, in_model)
    phases = found(STEP + r"[^}]*?Enter\(Phase::(k\w+)", SEQUENCE + ".cc")
    yield from unlike("phases of the steps", SEQUENCE + ".cc", phases, MODEL,
                      found(r"^inline (\w+)\(\) \{\s+Enter\((k\w+)", MODEL))


def check_events():
    rules = found(r'^    \{"(\w+)", Phase::(k\w+), \w+(?:, ExitCode::(k\w+))?', RULES + ".cc")
    # Nothing else in this file is written like an event.
    camel_case = r'"((?:[A-Z][a-z]+)+)"'
    told = set(found(camel_case, SEQUENCE + ".cc"))
    yield from unlike("events", "service/lifecycle", sorted(told), RULES + ".cc", sorted(e for e, _, _ in rules))

    by_name = {event: (phase, code or "kClean") for event, phase, code in rules}
    phase = None
    for _, body in found(STEP + r"(.*?)^\}", SEQUENCE + ".cc"):
        # A step that enters no phase of its own is a part of the one that stands before it.
        phase = re.search(r"Enter\(Phase::(k\w+)", body) or phase
        for code, event in re.findall(r'Tell\w*\((?:ExitCode::(k\w+),\s*)?"(\w+)"', body):
            its = (phase.group(1), code or "kClean")
            if its == MAY_ALSO_FAIL.get(event):
                continue
            yield from unlike(event, SEQUENCE + ".cc", its, RULES + ".cc", by_name.get(event))

    drawn = found(r"and in this order:\n  //\n((?:  //   .*?\n)+)", SEQUENCE + ".h")[0]
    in_order = found(r"\b(?:[A-Z][a-z]+)+\b", SEQUENCE + ".h", drawn)
    yield from unlike("order of events", SEQUENCE + ".h", in_order, RULES + ".cc",
                      [event for event, _, _ in rules if event in in_order])


def check_rules():
    in_model = set(found(r"assert\([^\n]*/\* ([A-Z_]+)\b", MODEL)) | set(found(r"^ltl (\w+)", MODEL))
    in_log = set(found(r'Break\("(\w+)"', RULES + ".cc"))
    for rule in sorted(in_log - in_model - NOT_RULES_OF_THE_MODEL):
        yield "%s: %s has no such rule" % (rule, MODEL)
    for rule in sorted((in_model | in_log) - set(re.findall(r"\w+", sources.read(RULES + ".h")))):
        yield "%s: %s does not say what becomes of it in a log" % (rule, RULES + ".h")


def main():
    problems = []
    for check in (check_numbers, check_steps, check_events, check_rules):
        problems += check()
    sources.report("words_test", problems)


main()
