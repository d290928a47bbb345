"""Ends a test's server, and removes its directory, when the process that started it is gone: killed test runs leave nothing.

Not PR_SET_PDEATHSIG: that is about the thread which started the server, and tests start some in threads that end earlier.
"""

import subprocess
import sys
from pathlib import Path

_WATCH = """
import os, select, shutil, signal, sys
server = os.pidfd_open(int(sys.argv[1]))
os.close(1)
sys.stdin.buffer.read()
for how, patience_s in ((signal.Signals[sys.argv[3]], 30), (signal.SIGKILL, 30)):
    try:
        signal.pidfd_send_signal(server, how)
    except ProcessLookupError:
        break
    if select.select([server], [], [], patience_s)[0]:
        break
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


def watch(pid: int, directory: Path, how: str = "SIGKILL") -> "subprocess.Popen[bytes]":
    """Begin to watch; it does when this returns. Kill what comes back before the server is stopped in order."""
    command = [sys.executable, "-c", _WATCH, str(pid), str(directory), how]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    if watching.stdout is not None:
        watching.stdout.read()
    return watching
