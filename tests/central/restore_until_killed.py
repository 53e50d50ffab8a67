"""A process that restores `DATA_DIR` and kills itself before a step that begins with `STEP`."""

import os
import signal
import sys
from pathlib import Path

from services.central.snapshot.restore import restore_if_asked
from tests.central.snapshots import origin_of

if __name__ == "__main__":
    data_dir, last = Path(sys.argv[1]), sys.argv[2]

    def before_step(step: str) -> None:
        if step.startswith(last):
            os.kill(os.getpid(), signal.SIGKILL)

    restore_if_asked(data_dir, origin_of(data_dir), before_step=before_step)
