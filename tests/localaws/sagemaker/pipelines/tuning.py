"""Tune a scikit-learn script and AWS's XGBoost, and register the best model of each."""

import pathlib

import sagemaker
from data import rows
from running import run
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.sklearn import SKLearn
from sagemaker.tuner import ContinuousParameter, HyperparameterTuner, IntegerParameter
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.steps import TuningStep

STEPS = pathlib.Path(__file__).parent / "steps"
session = PipelineSession()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
channels = {}
for name in ("train", "validation"):
    uri = session.upload_string_as_file_body(rows(), bucket, f"tuning/{name}/{name}.csv")
    channels[name] = TrainingInput(uri, content_type="text/csv")
sklearn = SKLearn(
    entry_point="train.py",
    source_dir=str(STEPS),
    framework_version="1.2-1",
    instance_type="ml.m5.xlarge",
    role=role,
    sagemaker_session=session,
)
scripts = TuningStep(
    name="TuneScript",
    step_args=HyperparameterTuner(
        sklearn,
        objective_metric_name="train:mae",
        objective_type="Minimize",
        metric_definitions=[{"Name": "train:mae", "Regex": "train:mae=([0-9.]+);"}],
        hyperparameter_ranges={"alpha": ContinuousParameter(0.01, 10.0, scaling_type="Logarithmic")},
        max_jobs=2,
        max_parallel_jobs=2,
        strategy="Random",
    ).fit({"train": channels["train"]}),
)
image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.5-1")
algorithm = Estimator(
    image_uri=image,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    output_path=f"s3://{bucket}/tuning/models",
    role=role,
    sagemaker_session=session,
    hyperparameters={"objective": "reg:squarederror", "num_round": "5"},
)
algorithms = TuningStep(
    name="TuneXGBoost",
    step_args=HyperparameterTuner(
        algorithm,
        objective_metric_name="validation:rmse",
        objective_type="Minimize",
        hyperparameter_ranges={"max_depth": IntegerParameter(2, 5)},
        max_jobs=2,
        max_parallel_jobs=1,
        strategy="Random",
    ).fit(channels),
)
best = algorithms.get_top_model_s3_uri(top_k=0, s3_bucket=bucket, prefix="tuning/models")
model = Model(image_uri=image, model_data=best, role=role, sagemaker_session=session)
register = ModelStep(
    name="RegisterBest",
    step_args=model.register(
        content_types=["text/csv"], response_types=["text/csv"], model_package_group_name="tuned-models"
    ),
)
run(Pipeline(name="TuningPipeline", steps=[scripts, algorithms, register], sagemaker_session=session), role)
