"""The SageMaker Pipeline: Preprocess -> Train -> Evaluate -> CheckQuality -> Register, or Reject with the reason.

The JSON is the contract and the SageMaker SDK only writes it; this module, step_arguments.py and sdk.py are the only
ones that import the SDK, and they import it late. What it writes is committed as cloudformation/pipeline.json with
`${Placeholders}`, which committed.py fills in. Building it needs no credentials and no network.
"""

import json
from typing import Any

from pipelines.authoring import sdk
from pipelines.authoring.parameters import kebab
from pipelines.authoring.settings import Settings
from pipelines.authoring.step_arguments import HOME, HOUR, StepArguments
from pipelines.authoring.step_outputs import METRICS, MODEL_CARD, PURPOSE, SUMMARY

# The SDK refuses a placeholder here: a role without a slash is a name, whose ARN it queries.
ROLE = "arn:aws:iam::111122223333:role/placeholder"
PLACEHOLDERS = Settings(
    pipeline_name="${PipelineName}",
    artifact_bucket="${ArtifactBucket}",
    job_role_arn=ROLE,
    model_package_group_name="${ModelPackageGroupName}",
    git_commit="${GitCommit}",
    kms_key_arn="${KmsKeyArn}",
)


def template() -> str:
    """The pipeline definition with placeholders as JSON, indented, keys in the SDK's order, ending in a newline."""
    with sdk.quiet():
        text = json.dumps(json.loads(pipeline(PLACEHOLDERS).definition()), indent=2) + "\n"
    return text.replace(ROLE, "${JobRoleArn}")


def images() -> str:
    """Region -> URI of the scikit-learn image, as JSON."""
    with sdk.quiet():
        return json.dumps({region: sdk.image_uri(region) for region in sdk.regions()}, indent=2) + "\n"


def pipeline(settings: Settings) -> Any:
    """The SDK's Pipeline object."""
    import sagemaker.utils
    from sagemaker.workflow.pipeline import Pipeline

    # The SDK would validate the session's configuration (our opt-out from telemetry) 57 times, 0.1 s each.
    sagemaker.utils.validate_sagemaker_config = lambda config: None

    steps = _Steps(settings)
    preprocess = steps.preprocess()
    train = steps.train(preprocess)
    evaluate, report = steps.evaluate(preprocess, train)
    register = steps.register(train, evaluate, report)
    check = steps.check(evaluate, report, register, steps.reject(evaluate, report))
    return Pipeline(
        name=settings.pipeline_name,
        parameters=list(steps.parameters.values()),
        steps=[preprocess, train, evaluate, check],
        sagemaker_session=steps.session,
        # An experiment per pipeline would need rights of its own and shows nothing that the registry does not.
        pipeline_experiment_config=None,
    )


class _Steps(StepArguments):
    """The steps, each a method, in the order of the graph."""

    def preprocess(self) -> Any:
        """Rows of the cleaned table -> train, validation and test sets, and a report on data quality."""
        from sagemaker.processing import ProcessingInput, ProcessingOutput

        data = ProcessingInput(self.value("InputData"), "/opt/ml/processing/input/data", "data")
        outputs = [
            ProcessingOutput(f"/opt/ml/processing/output/{side}", self.output("preprocess", side), side)
            for side in ("train", "validation", "test", "quality")
        ]
        return self.processing(
            "Preprocess",
            "Clean and split",
            "De-duplicates, repairs and validates the beers; splits them so that recipe families stay together",
            script="processing/preprocess.py",
            inputs=[data],
            outputs=outputs,
            arguments=[
                *("--input", "/opt/ml/processing/input/data"),
                *self.paths(("train", "validation", "test", "quality")),
                *self.flags("MinBeers", "CutOff", "MaxBeers"),
                *("--input-uri", self.value("InputData")),
            ],
        )

    def train(self, preprocess: Any) -> Any:
        """Train and validation sets -> a random forest that predicts bitterness with an interval."""
        from sagemaker.estimator import Estimator
        from sagemaker.inputs import TrainingInput
        from sagemaker.workflow.steps import TrainingStep

        estimator = Estimator(
            self.image,
            self.settings.job_role_arn,
            instance_count=1,
            instance_type=self.value("TrainingInstanceType"),
            max_run=HOUR,
            output_path=self.output("train"),
            output_kms_key=self.settings.kms_key_arn,
            volume_kms_key=self.settings.kms_key_arn,
            metric_definitions=[{"Name": name, "Regex": regex} for name, regex in METRICS.items()],
            hyperparameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
                **{kebab(name): self.value(name) for name in ("NEstimators", "MaxFeatures", "MinSamplesLeaf", "Seed")},
            },
            # A container without a network cannot fetch its code: it comes as a channel.
            # https://docs.aws.amazon.com/sagemaker/latest/dg/mkt-algo-model-internet-free.html
            enable_network_isolation=True,
            # SageMaker's profiler writes to a bucket of its own and costs; nothing here reads its output.
            disable_profiler=True,
            debugger_hook_config=False,
            sagemaker_session=self.session,
        )
        channels = {
            side: TrainingInput(self.made(preprocess, side), content_type="text/csv")
            for side in ("train", "validation")
        }
        channels["code"] = TrainingInput(f"{HOME}/${{TrainingCode}}")
        return TrainingStep(
            name="Train",
            display_name="Train",
            description="Fits the forest and its intervals, and cross-validates them by recipe family",
            step_args=estimator.fit(channels),
            cache_config=self.cache(),
            retry_policies=sdk.retries(),
        )

    def evaluate(self, preprocess: Any, train: Any) -> tuple[Any, Any]:
        """Model and test set -> evaluation.json (the gate's figures) and report.html."""
        from sagemaker.processing import ProcessingInput, ProcessingOutput
        from sagemaker.workflow.properties import PropertyFile

        home = "/opt/ml/processing/input"
        sides = ("train", "validation", "test", "quality")
        sources = {
            "model": train.properties.ModelArtifacts.S3ModelArtifacts,
            "champion": self.value("ChampionModel"),
            **{side: self.made(preprocess, side) for side in sides},
        }
        report = PropertyFile("Evaluation", "evaluation", "evaluation.json")
        step = self.processing(
            "Evaluate",
            "Evaluate",
            "Evaluates the model on held-out beers, against the labels' median and the approved champion",
            script="evaluation/evaluate.py",
            inputs=[ProcessingInput(source, f"{home}/{name}", name) for name, source in sources.items()],
            outputs=[
                ProcessingOutput(
                    "/opt/ml/processing/output/evaluation",
                    self.output("evaluate", "evaluation"),
                    "evaluation",
                )
            ],
            arguments=[
                *(part for name in sources for part in (f"--{name}", f"{home}/{name}")),
                *self.paths(("evaluation",), flag="output"),
                *self.flags("MinRelativeGain", "MaxChampionLoss", "OverrideReason", "ChampionVersion"),
                *self.flags("ChampionSha256", "ChampionAccumulatedLoss", "CutOff", "Seed", "GitCommit"),
                *("--input-uri", self.value("InputData")),
                *("--model-uri", sources["model"]),
                *("--environment", self.settings.pipeline_name),
                *("--image-uri", self.image),
            ],
            property_files=[report],
        )
        return step, report

    def register(self, train: Any, evaluate: Any, report: Any) -> Any:
        """The model package: the artifact, how to serve it, its metrics and its lineage."""
        from sagemaker.model import Model
        from sagemaker.model_card import ModelPackageModelCard
        from sagemaker.model_metrics import MetricsSource, ModelMetrics
        from sagemaker.workflow.functions import Join
        from sagemaker.workflow.model_step import ModelStep

        statistics = self.file(evaluate, "evaluation", "evaluation.json")
        model = Model(
            self.image,
            train.properties.ModelArtifacts.S3ModelArtifacts,
            role=self.settings.job_role_arn,
            # The artifact contains its serving code, so the code that was evaluated is the code that serves.
            env={
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                # Requests and answers go to the log, as serverless endpoints have no data capture.
                "CAPTURE_TO_LOG": "true",
            },
            sagemaker_session=self.session,
        )
        arguments = model.register(
            content_types=["application/json", "text/csv"],
            response_types=["application/json", "text/csv"],
            inference_instances=["ml.t2.medium", "ml.m5.large"],
            transform_instances=["ml.m5.large"],
            model_package_group_name=self.settings.model_package_group_name,
            # A person approves.
            approval_status="PendingManualApproval",
            description=Join(on=" ", values=[PURPOSE, self.figure(evaluate, report, "gate.reason")]),
            domain="MACHINE_LEARNING",
            task="REGRESSION",
            model_card=ModelPackageModelCard(model_card_status="Draft", model_card_content=MODEL_CARD),
            model_metrics=ModelMetrics(model_statistics=MetricsSource("application/json", statistics)),
            customer_metadata_properties={
                **{name: self.text(name) for name in ("InputData", "CutOff", "GitCommit", "ChampionModel", "Seed")},
                **{name: self.figure(evaluate, report, f"summary.{path}") for name, path in SUMMARY.items()},
                "Evaluation": statistics,
                "Report": self.file(evaluate, "evaluation", "report.html"),
            },
        )
        return ModelStep(
            name="Register",
            display_name="Register",
            description="Registers the model as a version with the status PendingManualApproval",
            step_args=arguments,
            # The other policies apply to job steps only.
            retry_policies=sdk.retries()[:1],
        )

    def reject(self, evaluate: Any, report: Any) -> Any:
        """Fail the run of a model that does not pass the gate, with the reason."""
        from sagemaker.workflow.fail_step import FailStep
        from sagemaker.workflow.functions import Join

        return FailStep(
            name="Reject",
            display_name="Reject",
            description="Fails the run: the model does not pass the gate",
            error_message=Join(
                on=" ",
                values=[
                    "The model did not pass the gate.",
                    self.figure(evaluate, report, "gate.reason"),
                    "Figures:",
                    self.file(evaluate, "evaluation", "evaluation.json"),
                ],
            ),
        )

    def check(self, evaluate: Any, report: Any, register: Any, reject: Any) -> Any:
        """The gate: every criterion holds, or the run gives an OverrideReason; Evaluate decides."""
        from sagemaker.workflow.condition_step import ConditionStep
        from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo

        return ConditionStep(
            name="CheckQuality",
            display_name="Check quality",
            description="Better than the labels' median beyond noise, and not worse than the approved champion",
            conditions=[ConditionGreaterThanOrEqualTo(self.figure(evaluate, report, "gate.register"), 1)],
            if_steps=[register],
            else_steps=[reject],
        )
