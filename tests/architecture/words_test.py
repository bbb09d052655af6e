#!/usr/bin/env python3
"""One word for one thing, in the code, its model, the rules for its log and everything that people read.

 * phases, exit codes and steps: service/lifecycle/ and tests/model/shutdown.pml
 * phases, steps, shares and flags: the table of phases in ARCHITECTURE.md
 * events and their phases: the shutdown that README.md shows
 * events, their order and phases: service/lifecycle/event.h and shutdown_sequence, which tells them
 * rules: tests/model/shutdown.pml and tests/common/order_rules.h
 * words that are not used, each with the reason: FORBIDDEN
"""

import re

import sources

PHASE = "service/lifecycle/phase.h"
EXIT_CODE = "service/lifecycle/last_resort/exit_code.h"

EVENT = "service/lifecycle/event.h"
SEQUENCE = "service/lifecycle/shutdown_sequence"
MODEL = "tests/model/shutdown.pml"
ARCHITECTURE = "ARCHITECTURE.md"
BUDGET = "service/lifecycle/shutdown_budget.cc"
CONFIG = "service/config/server_config.cc"
OPERATIONS = "docs/operations.md"
RULES = "tests/common/order_rules"

# Words that would say something else, or the same as another. ARCHITECTURE.md has the ones that are used.
FORBIDDEN = {
    r"\b[Dd]rains? by hand\b": "a manual drain",
    r"\b[Dd]rain[ _]?[Rr]eports?\b": "all of it is the shutdown: the shutdown report",
    r"\bDrainSignal\b|\bdrain_signal\b": "it tells streams to say goodbye: GoodbyeSignal",
    r"\bStop(Budget|Request|Reason|Outcome|Parts)\b|\bstop_(budget|request)\b": "all of it is the shutdown: Shutdown...",
    r"--stop_\w+": "the budgets' flags begin with --shutdown_",
    r"\bPhase::k(Leaving|Draining|Cancelling|Working|Saving|Closing)\b": "a phase says what it does to what: phase.h",
    r"\b(StopRequested|DrainRequested|ShutdownBegun|ConnectionsLeft)\b": "there is no such event: event.h",
    r"\b(lead|leads|led) (the |its |all )?(callers |everybody )?away\b": "callers are asked to leave (GOAWAY)",
    r"\b[Hh]urr(y|ies|ied|ying)\b": "a second signal expedites the shutdown: Expedite",
    r"\b(ServeUntilStopped|SaveOnStop|(Unb|B)lockStopSignals)\b": "all of it is the shutdown: ServeUntilShutdown, ...",
    r"\bquiet period\b": "there is none: connections are asked to leave, and looked at",
}
MAY_USE_OLD_WORDS = {"CHANGELOG.md", "tests/architecture/words_test.py"}

# Of what a pool finishes only when it is closed.
LATE = ("kWorkerFailed", "kClosingResources")

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
    run = found(r"^ShutdownOutcome ShutdownSequence::Run\(\) \{(.*?)^\}", SEQUENCE + ".cc")[0]
    main = found(r"^active proctype Main\(\) \{(.*?)^\}", MODEL)[0]
    in_code = found(r"\b([A-Z]\w+)\(\)", SEQUENCE + ".cc", run)
    in_model = [step for step in found(r"\b([A-Z]\w+)\(\)", MODEL, main) if step != "MayHang"]
    yield from unlike("steps", SEQUENCE + ".cc", in_code, MODEL, in_model)
    phases = found(STEP + r"[^}]*?Enter\(Phase::(k\w+)", SEQUENCE + ".cc")
    yield from unlike("phases of the steps", SEQUENCE + ".cc", phases, MODEL,
                      found(r"^inline (\w+)\(\) \{\s+Enter\((k\w+)", MODEL))


def check_document():
    rows = found(r"^\| (\w+) \| `(\w+)\(\)` \|[^\n]*\| (-|[\d.]+ s) \| (-|`--\w+`) \|$", ARCHITECTURE)
    steps = [(step, "k" + phase) for phase, step, _, _ in rows]
    in_code = found(STEP + r"[^}]*?Enter\(Phase::(k\w+)", SEQUENCE + ".cc") + [("Run", "kStopped")]
    yield from unlike("phases of the steps", ARCHITECTURE, steps, SEQUENCE + ".cc", in_code)
    shares = found(r"\{Phase::(k\w+), \"(\w+)\", (\d+)", BUDGET)
    flag_of = {phase: "`--shutdown_%s`" % name for phase, name, _ in shares}
    # Of the usual grace of 30 s, in sixtieths.
    share_of = {phase: "%g s" % (int(sixtieths) / 2) for phase, _, sixtieths in shares}
    for phase, _, share, flag in rows:
        yield from unlike("the flag of " + phase, ARCHITECTURE, flag, BUDGET, flag_of.get("k" + phase, "-"))
        yield from unlike("the share of " + phase, ARCHITECTURE, share, BUDGET, share_of.get("k" + phase, "-"))

    in_sixtieths = {name: sixtieths for _, name, sixtieths in shares}
    in_help = dict(found(r"shutdown_(\w+), std::nullopt,.*?(\d+)/60 of the grace", CONFIG))
    yield from unlike("default shares", CONFIG, in_help, BUDGET, in_sixtieths)
    in_manual = dict(found(r"^\| `--shutdown_(\w+)` \| all \| (\d+)/60", OPERATIONS))
    yield from unlike("default shares", OPERATIONS, in_manual, BUDGET, in_sixtieths)


def check_events():
    phase_of = dict(found(r"^    \{EventType::(k\w+), \"\w+\",\s*Phase::(k\w+)", EVENT))
    for event, name in found(r"^    \{EventType::k(\w+), \"(\w+)\"", EVENT):
        yield from unlike("the name of an event", EVENT, event, EVENT, name)
    told = set(found(r"EventType::(k\w+)", SEQUENCE + ".cc"))
    yield from unlike("events", SEQUENCE + ".cc", sorted(told), EVENT, sorted(phase_of))

    phase = None
    for _, body in found(STEP + r"(.*?)^\}", SEQUENCE + ".cc"):
        # A step that enters no phase of its own is a part of the one that stands before it.
        phase = re.search(r"Enter\(Phase::(k\w+)", body) or phase
        for event in re.findall(r"(?:\(|, )EventType::(k\w+)", body):
            if (event, phase.group(1)) == LATE:
                continue
            yield from unlike(event, SEQUENCE + ".cc", phase.group(1), EVENT, phase_of[event])

    drawn = found(r"and in this order:\n  //\n((?:  //   .*?\n)+)", SEQUENCE + ".h")[0]
    in_order = list(dict.fromkeys(found(r"\b(?:[A-Z][a-z]+)+\b", SEQUENCE + ".h", drawn)))
    yield from unlike("order of events", SEQUENCE + ".h", in_order, EVENT,
                      [event[1:] for event in phase_of if event[1:] in in_order])

    for phase, event in found(r"^ +\+\d+\.\d+s +(\w+) +(\w+)", "README.md"):
        yield from unlike(event, "README.md", "k" + phase, EVENT, phase_of.get("k" + event))


def check_rules():
    in_model = set(found(r"assert\([^\n]*/\* ([A-Z_]+)\b", MODEL)) | set(found(r"^ltl (\w+)", MODEL))
    in_log = set(found(r'Break\("(\w+)"', RULES + ".cc"))
    for rule in sorted(in_log - in_model - NOT_RULES_OF_THE_MODEL):
        yield "%s: %s has no such rule" % (rule, MODEL)
    for rule in sorted((in_model | in_log) - set(re.findall(r"\w+", sources.read(RULES + ".h")))):
        yield "%s: %s does not say what becomes of it in a log" % (rule, RULES + ".h")


def check_forbidden():
    for path in sources.files():
        if path in MAY_USE_OLD_WORDS:
            continue
        for number, line in enumerate(sources.read(path).splitlines(), 1):
            for pattern, reason in FORBIDDEN.items():
                if re.search(pattern, line):
                    yield "%s:%d: \"%s\": %s" % (path, number, re.search(pattern, line).group(0), reason)


def main():
    problems = []
    for check in (check_numbers, check_steps, check_document, check_events, check_rules, check_forbidden):
        problems += check()
    sources.report("words_test", problems)


main()
