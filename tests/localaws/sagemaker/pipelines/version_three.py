"""SDK v3: a processor, ModelTrainers with a script and with XGBoost, a model, a package, a function as a step."""

import pathlib

from data import houses
from running import run
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionGreaterThan
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.function_step import step
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

STEPS = pathlib.Path(__file__).parent / "steps"
session = PipelineSession()
role = get_execution_role()
region, bucket = session.boto_region_name, Session().default_bucket()
data = session.upload_string_as_file_body(houses(), bucket, "three/houses.csv")
input_data = ParameterString(name="InputData", default_value=data)
instance = "ml.m5.xlarge"


def image(framework, version):
    """The URI of one of AWS's images."""
    return image_uris.retrieve(framework, region, version=version, py_version="py3", instance_type=instance)


processor = ScriptProcessor(
    image_uri=image("sklearn", "1.2-1"),
    instance_type=instance,
    instance_count=1,
    base_job_name="three",
    sagemaker_session=session,
    role=role,
)
outputs = [
    ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(
            s3_uri=f"s3://{bucket}/three/{name}", local_path=f"/opt/ml/processing/{name}", s3_upload_mode="EndOfJob"
        ),
    )
    for name in ("train", "validation", "test")
]
process = ProcessingStep(
    name="Process",
    step_args=processor.run(outputs=outputs, code=str(STEPS / "preprocess.py"), arguments=["--input-data", input_data]),
)
train_uri = process.properties.ProcessingOutputConfig.Outputs["train"].S3Output.S3Uri
script = ModelTrainer(
    training_image=image("sklearn", "1.2-1"),
    source_code=SourceCode(source_dir=str(STEPS), entry_script="train.py"),
    compute=Compute(instance_type=instance, instance_count=1),
    base_job_name="three-script",
    sagemaker_session=session,
    role=role,
    hyperparameters={"alpha": 0.5},
    input_data_config=[InputData(channel_name="train", data_source=train_uri)],
)
fit = TrainingStep(name="TrainScript", step_args=script.train())
algorithm = ModelTrainer(
    training_image=image("xgboost", "1.7-1"),
    compute=Compute(instance_type=instance, instance_count=1),
    base_job_name="three-xgboost",
    sagemaker_session=session,
    role=role,
    hyperparameters={"objective": "reg:squarederror", "num_round": 20, "max_depth": 4},
    input_data_config=[InputData(channel_name="train", data_source=train_uri, content_type="text/csv")],
)
boost = TrainingStep(name="TrainXGBoost", step_args=algorithm.train())
builder = ModelBuilder(
    s3_model_data_url=boost.properties.ModelArtifacts.S3ModelArtifacts,
    image_uri=image("xgboost", "1.7-1"),
    sagemaker_session=session,
    role_arn=role,
)
create = ModelStep(name="Create", step_args=builder.build())
register = ModelStep(
    name="Register",
    step_args=builder.register(
        model_package_group_name="three-not-made-yet",
        content_types=["text/csv"],
        response_types=["text/csv"],
        inference_instances=[instance],
        approval_status="PendingManualApproval",
    ),
)


@step(
    name="Total",
    instance_type=instance,
    role=role,
    image_uri=f"000000000000.dkr.ecr.{region}.amazonaws.com/sagemaker-base-python-311:1.0",
)
def total(values):
    """The sum."""
    return sum(values)


check = ConditionStep(
    name="Check",
    conditions=[ConditionGreaterThan(left=total([1, 2]), right=2)],
    if_steps=[create, register],
    else_steps=[FailStep(name="TooSmall", error_message="too small")],
)
pipeline = Pipeline(
    name="ThreePipeline", parameters=[input_data], steps=[process, fit, boost, check], sagemaker_session=session
)
run(pipeline, role)
