"""Rate a file in a process of its own, in small parts on a slow disk, so that it can be killed in the middle.

python predict_worker.py RUN SOURCE TARGET FILMS [METHOD]
"""

import sys
import time
from pathlib import Path

import xingping.batch
from xingping import RatingPredictor
from xingping.file_parts import Parts

PARTS_ROWS = 20
SECONDS_A_PART = 0.05


def main():
    run, source, target, films = map(Path, sys.argv[1:5])
    xingping.batch.PART_ROWS = xingping.batch.EXPLAINED_ROWS = PARTS_ROWS
    write = Parts.write

    def slowly(parts, number, table):
        time.sleep(SECONDS_A_PART)
        write(parts, number, table)

    Parts.write = slowly
    method = sys.argv[5] if len(sys.argv) > 5 else None
    xingping.batch.predict_file(RatingPredictor.load(run), source, target, films=films, explain=method)


if __name__ == "__main__":
    main()
