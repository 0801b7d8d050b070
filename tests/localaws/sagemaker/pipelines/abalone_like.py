"""Preprocess, train AWS's XGBoost, evaluate, and, if good enough, create, register and transform with the model."""

import pathlib

import sagemaker
from data import houses
from running import run
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.transformer import Transformer
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import ProcessingStep, TrainingStep, TransformStep

STEPS = pathlib.Path(__file__).parent / "steps"
session = PipelineSession()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
region = session.boto_region_name
data = session.upload_string_as_file_body(houses(), bucket, "houses/houses.csv")
batch = session.upload_string_as_file_body("100,10\n150,20\n", bucket, "houses/batch/rows.csv")
instances = ParameterInteger("ProcessingInstanceCount", default_value=1)
kind = ParameterString("InstanceType", default_value="ml.m5.xlarge")
input_data = ParameterString("InputData", default_value=data)
threshold = ParameterFloat("MseThreshold", default_value=1000.0)

sklearn = SKLearnProcessor(
    framework_version="1.2-1",
    instance_type="ml.m5.xlarge",
    instance_count=instances,
    base_job_name="houses",
    role=role,
    sagemaker_session=session,
)
process = ProcessingStep(
    name="HousesProcess",
    step_args=sklearn.run(
        outputs=[
            ProcessingOutput(output_name=name, source=f"/opt/ml/processing/{name}")
            for name in ("train", "validation", "test")
        ],
        code=str(STEPS / "preprocess.py"),
        arguments=["--input-data", input_data],
    ),
)
image = sagemaker.image_uris.retrieve(
    "xgboost", region, version="1.0-1", py_version="py3", instance_type="ml.m5.xlarge"
)
xgboost = Estimator(
    image_uri=image,
    instance_type=kind,
    instance_count=1,
    output_path=f"s3://{bucket}/houses/models",
    role=role,
    sagemaker_session=session,
)
xgboost.set_hyperparameters(
    objective="reg:linear", num_round=30, max_depth=4, eta=0.2, gamma=4, min_child_weight=2, subsample=0.7
)
made = process.properties.ProcessingOutputConfig.Outputs
train = TrainingStep(
    name="HousesTrain",
    step_args=xgboost.fit(
        {name: TrainingInput(made[name].S3Output.S3Uri, content_type="text/csv") for name in ("train", "validation")}
    ),
)
evaluator = ScriptProcessor(
    image_uri=image,
    command=["python3"],
    instance_type="ml.m5.xlarge",
    instance_count=1,
    base_job_name="evaluate",
    role=role,
    sagemaker_session=session,
)
report = PropertyFile(name="Report", output_name="evaluation", path="evaluation.json")
artifacts = train.properties.ModelArtifacts.S3ModelArtifacts
evaluate = ProcessingStep(
    name="HousesEvaluate",
    step_args=evaluator.run(
        inputs=[
            ProcessingInput(source=artifacts, destination="/opt/ml/processing/model"),
            ProcessingInput(source=made["test"].S3Output.S3Uri, destination="/opt/ml/processing/test"),
        ],
        outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")],
        code=str(STEPS / "evaluate.py"),
    ),
    property_files=[report],
)
model = Model(image_uri=image, model_data=artifacts, sagemaker_session=session, role=role)
create = ModelStep(name="HousesModel", step_args=model.create(instance_type="ml.m5.large"))
transformer = Transformer(
    model_name=create.properties.ModelName,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    output_path=f"s3://{bucket}/houses/transformed",
    sagemaker_session=session,
)
transform = TransformStep(
    name="HousesTransform", step_args=transformer.transform(batch, content_type="text/csv", split_type="Line")
)
statistics = Join(
    on="/",
    values=[evaluate.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri, "evaluation.json"],
)
register = ModelStep(
    name="HousesRegister",
    step_args=model.register(
        content_types=["text/csv"],
        response_types=["text/csv"],
        inference_instances=["ml.t2.medium"],
        transform_instances=["ml.m5.xlarge"],
        model_package_group_name="houses-not-made-yet",
        approval_status="PendingManualApproval",
        model_metrics=ModelMetrics(model_statistics=MetricsSource(s3_uri=statistics, content_type="application/json")),
    ),
)
mse = JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.mse.value")
check = ConditionStep(
    name="HousesCheck",
    conditions=[ConditionLessThanOrEqualTo(left=mse, right=threshold)],
    if_steps=[register, create, transform],
    else_steps=[FailStep(name="HousesFail", error_message=Join(on=" ", values=["mse >", threshold]))],
)
pipeline = Pipeline(
    name="HousesPipeline",
    parameters=[instances, kind, input_data, threshold],
    steps=[process, train, evaluate, check],
    sagemaker_session=session,
)
run(pipeline, role)
transformed = session.boto_session.client("s3").get_object(Bucket=bucket, Key="houses/transformed/rows.csv.out")
print(len(transformed["Body"].read().split()))
run(pipeline, role, parameters={"MseThreshold": 0.0})
