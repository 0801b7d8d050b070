"""The committed definitions: cloudformation/pipeline.json and the state machines' *.asl.json.

They are generated (generate.py) and read here, so that an upsert and `--print` need no SDK. pipeline.json has
`${Placeholders}` for an environment's names and for the code archives' keys.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ingestion import record
from localaws.errors import ENVIRONMENT, ExpectedError
from pipelines.authoring import archives
from pipelines.authoring.settings import Settings

FOLDER = archives.ROOT / "cloudformation"
PIPELINE = FOLDER / "pipeline.json"
IMAGES = FOLDER / "images.json"
SOURCES_DIGEST = FOLDER / "sources.sha256"
KMS_KEY = "${KmsKeyArn}"


def machine_path(name: str) -> Path:
    """The file of a state machine."""
    return FOLDER / f"{name}.asl.json"


def machine(name: str) -> str:
    """A state machine's ASL as JSON; raises ExpectedError where the file is stale."""
    check_current()
    return machine_path(name).read_text(encoding="utf-8")


def definition(settings: Settings) -> str:
    """The pipeline definition as JSON with the settings filled in; raises ExpectedError where the file is stale."""
    check_current()
    document = json.loads(PIPELINE.read_text(encoding="utf-8"))
    values = {**placeholders(settings), KMS_KEY: settings.kms_key_arn}
    return json.dumps(filled(document, values), indent=2) + "\n"


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """A JSON value with its placeholders filled in; a member whose whole text becomes empty is left out."""
    if isinstance(value, dict):
        items = ((key, filled(item, values)) for key, item in value.items())
        return {key: item for key, item in items if not (item == "" and value[key] in values)}
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(name, text)
    return value


def placeholders(settings: Settings) -> dict[str, str]:
    """`${Name}` -> value, but for the key."""
    return {
        "${PipelineName}": settings.pipeline_name,
        "${ArtifactBucket}": settings.artifact_bucket,
        "${JobRoleArn}": settings.job_role_arn,
        "${ModelPackageGroupName}": settings.model_package_group_name,
        "${GitCommit}": settings.git_commit,
        "${ImageUri}": image(settings.region),
        "${ProcessingCode}": archives.step_folder("processing")[0].folder.rstrip("/"),
        "${EvaluationCode}": archives.step_folder("evaluation")[0].folder.rstrip("/"),
        "${TrainingCode}": archives.source_archive("training").key,
    }


def image(region: str) -> str:
    """The URI of SageMaker's scikit-learn image in a region; raises ExpectedError where it is not offered."""
    images: dict[str, str] = json.loads(IMAGES.read_text(encoding="utf-8"))
    if region not in images:
        raise ExpectedError(
            f"SageMaker's scikit-learn image is not offered in {region}",
            where="cloudformation/images.json",
            hint="python -m pipelines.run --region us-east-1",
            code=ENVIRONMENT,
        )
    return images[region]


@cache
def sources_digest() -> str:
    """SHA-256 of everything that the generated JSON is made from: the authoring modules and the schema."""
    files = archives.folder_files("pipelines/authoring")
    return hashlib.sha256((archives.digest(files) + repr(record.COLUMNS)).encode()).hexdigest()


def check_current() -> None:
    """Raise ExpectedError where a source was edited and the files were not generated again."""
    found = SOURCES_DIGEST.read_text(encoding="utf-8").strip() if SOURCES_DIGEST.exists() else ""
    if found != sources_digest():
        raise ExpectedError(
            "the pipeline definition and the state machines are older than what they are generated from",
            where="pipelines/authoring, ingestion/record.py; cloudformation/*.json",
            hint="make generate",
            code=ENVIRONMENT,
        )
