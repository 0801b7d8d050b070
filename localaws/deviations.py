"""What the local AWS does otherwise than AWS, each with its reason: the data of README.md's lists.

Where a statement can be taken from the code, `parity` takes it from there.
"""

from typing import NamedTuple


class Deviation(NamedTuple):
    """Where the two differ, and why."""

    what: str
    why: str


# Operations that store and return documents and have no other effect, by the noun in their names.
RECORDED = {
    "ImageVersion": "there is none: every one is ResourceNotFound, so that the SDK takes an image's URI as it is",
    "Image": "the list is empty",
    "ModelCard": "the content is any JSON; AWS's schema of it is not checked",
    "ModelCardVersion": "",
    "ModelPackageGroupPolicy": "the policy is not evaluated",
    "Tag": "",
}
SAGEMAKER = (
    Deviation(
        "No image is pulled. Scripts run with this Python and its packages, below /opt/ml in a namespace of their own; "
        "a job's log names the framework's version that was asked for and the one that runs.",
        "There is no Docker. The image's name decides which container's contract holds.",
    ),
    Deviation(
        "What cannot run is refused when the execution is asked for: images with a program of their own but XGBoost "
        "and TensorFlow Serving, packages and commands that are not installed, a training job's InstanceCount above 1, "
        "the mode Pipe.",
        "It would fail after the steps before it had run.",
    ),
    Deviation(
        "InstanceType is recorded; one process runs, on this machine's CPUs, whatever the type.",
        "There is one machine.",
    ),
    Deviation(
        "The instances of a processing job run one after another and cannot connect to each other.",
        "There is one machine. Each has its inputs, or its shard of them, and a log stream of its own.",
    ),
    Deviation(
        "requirements.txt is satisfied by what is installed, or the execution is refused. With "
        "LOCALAWS_INSTALL_REQUIREMENTS=1 pip installs it once, into a folder of its own.",
        "A local run opens no connection to other machines.",
    ),
    Deviation(
        "A function as a step that names no image has one with this Python, as in Studio; a notebook job needs the "
        "package sagemaker-headless-execution-driver.",
        "The SDK has default images for Python 3.8 and 3.10 alone; the images of notebook jobs have the package.",
    ),
    Deviation(
        "Inputs of processing and training jobs are prefixes and manifests in S3, those of transform jobs prefixes: an "
        "augmented manifest, a file system or an Athena or Redshift dataset fails the job.",
        "No project that was tried uses them.",
    ),
    Deviation(
        "Bayesian tuning draws its values at random, whatever a warm start's parents found; Hyperband and Autotune are "
        "refused.",
        "AWS does not publish its search.",
    ),
    Deviation(
        "Waits of deployments (baking, termination) and of retry policies are scaled by --time-scale; time limits of "
        "jobs, health checks and invocations are not.",
        "A canary of an hour takes seconds, and a script has the time that AWS gives it.",
    ),
    Deviation(
        "An endpoint's container loads its model as soon as it starts; a serverless endpoint is never cold.",
        "A request would wait for seconds without showing anything.",
    ),
    Deviation(
        "One request at a time per container; AWS runs one worker per CPU.",
        "One process serves a container; its script need not be safe for threads.",
    ),
    Deviation(
        "A container that ends is started again on the same socket: requests that arrive meanwhile wait. In AWS, some "
        "are answered with 502 or 504.",
        "The request in which it ended is answered with 502, as in AWS.",
    ),
    Deviation(
        "Captured requests are in S3 within seconds, not minutes.",
        "Nobody waits for minutes on a laptop.",
    ),
    Deviation(
        "The messages of some ValidationExceptions are our own: conflicting members of endpoint configurations and "
        "deployment configurations, ResourceInUse of configurations.",
        "AWS does not document them. Codes and HTTP statuses are AWS's.",
    ),
    Deviation(
        "A ClientRequestToken that comes again with other parameters gets the first answer, or a ConflictException "
        "with the switch ReusedToken.",
        "AWS does not document which.",
    ),
    Deviation(
        "Every List operation applies MaxResults before its filters, with a default of 10.",
        "So does AWS in the operations where it was observed; a caller that ignores NextToken fails here first.",
    ),
    Deviation(
        "Lineage, trial components, experiments and trials are derived from jobs, packages, endpoints and executions "
        "(PipelineExperimentConfig); entities, associations and experiments of one's own are refused.",
        "It is what SageMaker writes by itself; nothing stored can differ from what ran.",
    ),
    Deviation(
        "MLflowConfig is described and tracks nothing.",
        "No MLflow server runs here.",
    ),
    Deviation(
        "sagemakerruntime:invokeEndpoint of Step Functions sends Body as JSON: a text arrives in quotes.",
        "AWS does not document how a text becomes the body; an object works in either case.",
    ),
)
FIREHOSE = (
    Deviation(
        "Delivery to S3 is this package's: batches by size and time (AWS's seconds, scaled), transformation by Lambda "
        "with its retries, error prefixes, conversion to Parquet.",
        "MiniStack writes one object per record.",
    ),
    Deviation(
        "A record is in a journal on disk before Kinesis or Firehose acknowledges it.",
        "MiniStack loses it when its process is killed.",
    ),
    Deviation(
        "A batch that S3 does not take is tried again without end; AWS gives up after 24 hours.",
        "The reason is this machine's disk, and the records are still wanted.",
    ),
    Deviation(
        "Dynamic partitioning, source backup and log lines in CloudWatch Logs are missing; destinations other than S3 "
        "are MiniStack's.",
        "No project that was tried uses them.",
    ),
)
ATHENA = (
    Deviation(
        "sqlglot translates a query from Athena's dialect to DuckDB's; Glue's tables are views with the hidden column "
        "$path.",
        "MiniStack hands Athena's SQL to DuckDB as it is.",
    ),
    Deviation(
        "What sqlglot reads of other dialects is refused: `::`, ILIKE, `* EXCLUDE`, GROUP BY ALL, nvl, and more; so "
        "is a function of Athena's that DuckDB does not have, by its name.",
        "What runs here runs there.",
    ),
    Deviation(
        "What a statement writes goes to S3 as Parquet or text: UNLOAD, CREATE TABLE AS, INSERT INTO. A table with "
        "partition keys and without projection has the rows of its registered partitions.",
        "MiniStack lacks the statements, and reads every object below a table's location.",
    ),
    Deviation(
        "A workgroup that enforces its settings overrides the location of results and new tables.",
        "MiniStack takes the query's.",
    ),
    Deviation(
        "A view fails as stale when the types of its columns have changed at all; Athena allows wider ones.",
        "What runs here runs there.",
    ),
    Deviation(
        "startQueryExecution.sync and the other integrations of Step Functions wait for the query and return it.",
        "MiniStack lacks them.",
    ),
    Deviation(
        "Errors are DuckDB's texts.", "Trino's differ from one release to the next; the state is FAILED in both."
    ),
)
