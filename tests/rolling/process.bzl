"""The rolling restart under a name of tests/process, where somebody looks for it."""

def rolling_restart(name):
    native.test_suite(
        name = name,
        tests = ["//tests/rolling:rolling_restart"],
    )
