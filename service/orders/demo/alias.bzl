"""The demo under a name at the root, where somebody looks for it."""

def demo(name):
    native.alias(
        name = name,
        testonly = True,
        actual = "//service/orders/demo",
    )
