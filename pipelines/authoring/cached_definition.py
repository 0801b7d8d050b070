"""The pipeline definition, written once by the SDK for each state of its sources and kept in `.cache/`.

Importing the SageMaker SDK takes seconds, and what it writes is a pure function of the sources and the settings. So it
writes the definition once, with marks where the settings go, and from then on the marks are filled in. A change of any
source, of the shipped code or of the SDK's version is another file; a cache that cannot be written costs only time.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os

from pipelines.authoring import archives
from pipelines.authoring import definition as authoring
from pipelines.authoring.settings import Settings, assets

CACHE = archives.ROOT / ".cache" / "definition"
SOURCES = ("archives.py", "definition.py", "parameters.py", "sdk.py", "settings.py", "step_outputs.py")


def definition(settings: Settings) -> str:
    """The same text as `pipelines.authoring.definition.definition(settings)`."""
    marked = dataclasses.replace(marks(), region=settings.region)
    path = CACHE / f"{key(settings.region)}.json"
    try:
        text = path.read_text()
    except OSError:
        text = authoring.definition(marked)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_text(text)
            temporary.replace(path)
    for name, mark in dataclasses.asdict(marked).items():
        if name != "region":
            text = text.replace(mark, getattr(settings, name))
    return text


def marks() -> Settings:
    """Settings that cannot be mistaken for anything else in the text."""
    return Settings(
        pipeline_name="mark-of-the-pipeline-name",
        artifact_bucket="mark-of-the-artifact-bucket",
        pipeline_role_arn="arn:aws:iam::000000000000:role/mark-of-the-pipeline-role",
        job_role_arn="arn:aws:iam::000000000000:role/mark-of-the-job-role",
        model_package_group_name="mark-of-the-model-package-group-name",
        git_commit="mark-of-the-git-commit",
    )


def key(region: str) -> str:
    """A hash of all that the text depends on, besides the settings that are filled in."""
    total = hashlib.sha256(f"{region} {importlib.metadata.version('sagemaker')}".encode())
    for source in SOURCES:
        total.update((archives.ROOT / "pipelines" / "authoring" / source).read_bytes())
    for asset in assets(marks()):
        total.update(asset.key.encode())
    return total.hexdigest()[:32]
