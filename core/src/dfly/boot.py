"""Which run of the operating system this is: what an unsynced write is worth depends on it.

A killed process loses nothing that it wrote; a machine that lost power may have lost everything since the last sync. So
the books we keep on disk (journal, receipts) carry the boot they were written in.
"""

import subprocess
import uuid
from functools import cache


@cache
def boot_id() -> str:
    """The same text for every process until the machine restarts. Asked once: every receipt has it.

    Where the system does not tell, a new text in each process: then nothing unsynced is trusted, which is safe and slower.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        pass
    try:
        asked = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    except OSError:
        return str(uuid.uuid4())
    return asked.stdout.strip() or str(uuid.uuid4())
