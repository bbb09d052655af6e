"""What a server process writes for others, such as a port file."""

import time


def read_when_written(path, limit):
    """The text of the file `path`, once there is any; ends the test when there is none after `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            with open(path) as file:
                if text := file.read().strip():
                    return text
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    raise SystemExit("%s was not written" % path)
