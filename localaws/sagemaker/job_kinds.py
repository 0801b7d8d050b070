"""The kinds of job that run a container: processing and training."""

from localaws.sagemaker import processing, runnable, training
from localaws.sagemaker.jobs import JobKind
from localaws.store import Document

# What Describe answers when the request leaves them out.
TRAINING_SWITCHES = {
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "EnableNetworkIsolation": False,
}

RULES = ("DebugRuleConfigurations", "ProfilerRuleConfigurations")


def _training_created(request: Document) -> Document:
    folder = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    name = "model/" if request["OutputDataConfig"].get("CompressionType") == "NONE" else "model.tar.gz"
    artifact = f"{folder}/{request['TrainingJobName']}/output/{name}"
    # A rule without an instance of its own is described with no volume.
    rules = {
        member: [{"VolumeSizeInGB": 0, **rule} for rule in request[member]] for member in RULES if member in request
    }
    switches = {name: value for name, value in TRAINING_SWITCHES.items() if name not in request}
    # AWS returns the key even when there is none, and the SDK reads it.
    output = {"OutputDataConfig": {"KmsKeyId": "", **request["OutputDataConfig"]}}
    made = {"ModelArtifacts": {"S3ModelArtifacts": artifact}, "SecondaryStatusTransitions": []}
    return {**switches, **rules, **_profiling(request), **output, **made}


def _profiling(request: Document) -> Document:
    given = request.get("ProfilerConfig")
    if given is None or given.get("DisableProfiler"):
        return {"ProfilingStatus": "Disabled"} if given else {}
    return {"ProfilingStatus": "Enabled", "ProfilerConfig": {"ProfilingIntervalInMilliseconds": 500, **given}}


def _training_ended(document: Document) -> Document:
    began = document.get("TrainingStartTime", document["CreationTime"])
    seconds = max(1, int(document["TrainingEndTime"] - began))
    return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}


PROCESSING = JobKind("Processing", processing.run, check=runnable.require_processing)
TRAINING = JobKind(
    "Training", training.run, _training_created, _training_ended, phases=True, check=runnable.require_training
)
