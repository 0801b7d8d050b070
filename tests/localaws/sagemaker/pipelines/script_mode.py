"""XGBoost with a script: trained, repacked with its inference code, registered, and transforming."""

import io
import json
import pathlib
import shutil
import tarfile
import tempfile

import sagemaker
from data import rows
from running import run
from sagemaker.inputs import TrainingInput
from sagemaker.transformer import Transformer
from sagemaker.workflow.execution_variables import ExecutionVariables
from sagemaker.workflow.functions import Join
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.step_collections import RegisterModel
from sagemaker.workflow.steps import TrainingStep, TransformStep
from sagemaker.xgboost import XGBoost, XGBoostModel

# A copy, because the SDK writes its own programs beside the code.
SOURCE = str(shutil.copytree(pathlib.Path(__file__).parent / "boosted", pathlib.Path(tempfile.mkdtemp(), "source")))
session = PipelineSession()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
train_uri = session.upload_string_as_file_body(rows(), bucket, "boosted/train/rows.csv")
batch = session.upload_string_as_file_body("100,10\n150,20", bucket, "boosted/batch/rows.csv")
output = Join(on="/", values=["s3:/", bucket, "boosted", ExecutionVariables.PIPELINE_EXECUTION_ID])
estimator = XGBoost(
    entry_point="train.py",
    source_dir=SOURCE,
    framework_version="1.7-1",
    instance_type="ml.m5.xlarge",
    instance_count=1,
    hyperparameters={"num_round": 30, "flag": True},
    output_path=output,
    role=role,
    sagemaker_session=session,
)
train = TrainingStep(
    name="Boost", step_args=estimator.fit({"train": TrainingInput(train_uri, content_type="text/csv")})
)
model = XGBoostModel(
    model_data=train.properties.ModelArtifacts.S3ModelArtifacts,
    entry_point="train.py",
    source_dir=SOURCE,
    framework_version="1.7-1",
    role=role,
    sagemaker_session=session,
)
create = ModelStep(name="Create", step_args=model.create(instance_type="ml.m5.xlarge"))
# The SDK adds a step that puts the code into the artifact: a training job whose program is a shell script.
register = RegisterModel(
    name="Register",
    estimator=estimator,
    model_data=train.properties.ModelArtifacts.S3ModelArtifacts,
    entry_point="train.py",
    source_dir=SOURCE,
    content_types=["text/csv"],
    response_types=["text/csv"],
    inference_instances=["ml.m5.xlarge"],
    transform_instances=["ml.m5.xlarge"],
    model_package_group_name="boosted-not-made-yet",
)
transformer = Transformer(
    model_name=create.properties.ModelName,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    output_path=f"s3://{bucket}/boosted/transformed",
    accept="text/csv",
    sagemaker_session=session,
)
transform = TransformStep(name="Transform", step_args=transformer.transform(batch, content_type="text/csv"))
pipeline = Pipeline(name="BoostedPipeline", steps=[train, create, register, transform], sagemaker_session=session)
execution = run(pipeline, role)
s3 = session.boto_session.client("s3")
transformed = s3.get_object(Bucket=bucket, Key="boosted/transformed/rows.csv.out")["Body"].read()
print(len(transformed.split()))
(job,) = [each["Metadata"]["TrainingJob"]["Arn"] for each in execution.list_steps() if each["StepName"] == "Boost"]
folder = f"boosted/{execution.arn.rpartition('/')[2]}/{job.rpartition('/')[2]}/output"
packed = s3.get_object(Bucket=bucket, Key=f"{folder}/output.tar.gz")["Body"].read()
with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
    print(json.dumps(json.load(archive.extractfile("others.json"))))
