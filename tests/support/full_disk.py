"""A step on a disk that fills up: `python -m tests.support.full_disk FOLDER`, where a few free megabytes are mounted.

Prints what became of it as JSON. A program of its own, because the disk is mounted for this process alone.
"""

import contextlib
import json
import sys
from pathlib import Path

from botocore.exceptions import ClientError

from benchmarks.support.crash import Victim
from benchmarks.support.definitions import Project
from localaws.workspace import Workspace

FILL = """
    with open(OUTPUT / 'out' / 'big', 'wb') as file:
        for _ in range(64):
            file.write(b'0' * 2**20)
            file.flush()
"""


def main() -> None:
    """Fill the disk, read what is left, and run another step."""
    victim = Victim(Workspace(Path(sys.argv[1]) / "workspace"))
    try:
        project = Project(victim.up().clients)
        run = project.run(project.processing("Full", FILL, outputs=("out",)))
        listed = project.clients.s3.list_objects_v2(Bucket=project.name)["Contents"]
        found = {
            "status": run.status,
            "reason": run.reason("Full"),
            "objects": sorted(key["Key"].partition("/")[0] for key in listed),
            "object": refused(project, Path(sys.argv[1]) / "filler"),
            "after": project.run(project.processing("Small")).status,
        }
        print(json.dumps(found))
    finally:
        victim.down()


def refused(project: Project, filler: Path) -> str:
    """The HTTP status that S3 gives an object for which there is no room."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        project.put("big", bytes(2**20))
    except ClientError as error:
        return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
    finally:
        filler.unlink()
    return "200"


if __name__ == "__main__":
    main()
