"""SDK v3: a notebook as a step, with parameters; the notebook that ran is read from the job's output."""

import io
import json
import pathlib
import tarfile

from running import run
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.notebook_job_step import NotebookJobStep
from sagemaker.mlops.workflow.pipeline import Pipeline

STEPS = pathlib.Path(__file__).parent / "steps"
session = PipelineSession()
role, region = get_execution_role(), session.boto_region_name
count = ParameterInteger(name="Count", default_value=3)
notebook = NotebookJobStep(
    name="Notebook",
    input_notebook=str(STEPS / "numbers.ipynb"),
    image_uri=f"542918446943.dkr.ecr.{region}.amazonaws.com/sagemaker-distribution-prod:1-cpu",
    kernel_name="python3",
    role=role,
    s3_root_uri=f"s3://{Session().default_bucket()}/notebooks",
    parameters={"count": count.to_string()},
    environment_variables={"UNIT": "hops"},
)
pipeline = Pipeline(name="NotebookPipeline", parameters=[count], steps=[notebook], sagemaker_session=session)
execution = run(pipeline, role)
(step,) = execution.list_steps()
boto = session.boto_session
job = boto.client("sagemaker").describe_training_job(
    TrainingJobName=step["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
)
bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
key = f"{key.rpartition('/')[0]}/output.tar.gz"
packed = boto.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
    ran = json.load(archive.extractfile(job["Environment"]["SM_OUTPUT_NOTEBOOK_NAME"].replace(":", "-")))
print(json.dumps(["".join(output["text"]) for cell in ran["cells"] for output in cell.get("outputs", [])]))
