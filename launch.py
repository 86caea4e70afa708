"""Sets FlashKB up and opens it: `python launch.py`.

This file keeps to syntax that every Python reads, so that an old one gets a sentence instead of a traceback.
"""

import struct
import sys

PROBLEM = ""
if sys.version_info < (3, 11):  # noqa: UP036  # the very reason for this file
    PROBLEM = "FlashKB needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2]  # noqa: UP031
elif struct.calcsize("P") < 8:
    PROBLEM = "FlashKB needs a 64-bit Python; this one has 32 bits."
if PROBLEM:
    sys.exit(PROBLEM + " Install one from python.org, then run this file with it, for example: python3.12 launch.py")

from launcher.door import main  # noqa: E402  # would not even parse on an old Python

if __name__ == "__main__":
    sys.exit(main())
