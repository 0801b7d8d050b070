"""The SageMaker Pipeline: Preprocess -> Train -> Evaluate -> CheckQuality -> Register, or Reject with the reason.

The JSON is the contract and the SageMaker SDK only writes it; this module and sdk.py are the only ones that import the
SDK, and they import it late. What it writes is committed as cloudformation/pipeline.json with `${Placeholders}`, which
committed.py fills in. Building it needs no credentials and no network.
"""

import json
from typing import Any

from pipelines.authoring import sdk
from pipelines.authoring.parameters import PARAMETERS, kebab
from pipelines.authoring.settings import Settings
from pipelines.authoring.step_outputs import METRICS, MODEL_CARD, PURPOSE, SUMMARY

HOUR = 3600
# A step's result is reused for this long if its arguments are equal. All inputs have immutable addresses.
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html
CACHED_FOR = "30d"


# The SDK refuses a placeholder here: a role without a slash is a name, whose ARN it queries.
ROLE = "arn:aws:iam::111122223333:role/placeholder"
HOME = "s3://${ArtifactBucket}/${PipelineName}"
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

    build = _Build(settings)
    preprocess = build.preprocess()
    train = build.train(preprocess)
    evaluate, report = build.evaluate(preprocess, train)
    register = build.register(train, evaluate, report)
    check = build.check(evaluate, report, register, build.reject(evaluate, report))
    return Pipeline(
        name=settings.pipeline_name,
        parameters=list(build.parameters.values()),
        steps=[preprocess, train, evaluate, check],
        sagemaker_session=build.session,
        # An experiment per pipeline would need rights of its own and shows nothing that the registry does not.
        pipeline_experiment_config=None,
    )


class _Build:
    """The steps, each a method, in the order of the graph."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.session = sdk.offline_session(settings.region, settings.artifact_bucket)
        self.image = "${ImageUri}"
        self.parameters = {each.name: self._parameter(each) for each in PARAMETERS}

    def preprocess(self) -> Any:
        """Rows of the cleaned table -> train, validation and test sets, and a report on data quality."""
        from sagemaker.processing import ProcessingInput, ProcessingOutput

        data = ProcessingInput(self._value("InputData"), "/opt/ml/processing/input/data", "data")
        outputs = [
            ProcessingOutput(f"/opt/ml/processing/output/{side}", self._output("preprocess", side), side)
            for side in ("train", "validation", "test", "quality")
        ]
        return self._processing(
            "Preprocess",
            "Clean and split",
            "De-duplicates, repairs and validates the beers; splits them so that recipe families stay together",
            script="processing/preprocess.py",
            inputs=[data],
            outputs=outputs,
            arguments=[
                *("--input", "/opt/ml/processing/input/data"),
                *self._paths(("train", "validation", "test", "quality")),
                *self._flags("MinBeers", "CutOff", "MaxBeers"),
                *("--input-uri", self._value("InputData")),
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
            instance_type=self._value("TrainingInstanceType"),
            max_run=HOUR,
            output_path=self._output("train"),
            output_kms_key=self.settings.kms_key_arn,
            volume_kms_key=self.settings.kms_key_arn,
            metric_definitions=[{"Name": name, "Regex": regex} for name, regex in METRICS.items()],
            hyperparameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
                **{kebab(name): self._value(name) for name in ("NEstimators", "MaxFeatures", "MinSamplesLeaf", "Seed")},
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
            side: TrainingInput(self._made(preprocess, side), content_type="text/csv")
            for side in ("train", "validation")
        }
        channels["code"] = TrainingInput(f"{HOME}/${{TrainingCode}}")
        return TrainingStep(
            name="Train",
            display_name="Train",
            description="Fits the forest and its intervals, and cross-validates them by recipe family",
            step_args=estimator.fit(channels),
            cache_config=self._cache(),
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
            "champion": self._value("ChampionModel"),
            **{side: self._made(preprocess, side) for side in sides},
        }
        report = PropertyFile("Evaluation", "evaluation", "evaluation.json")
        step = self._processing(
            "Evaluate",
            "Evaluate",
            "Evaluates the model on held-out beers, against the labels' median and the approved champion",
            script="evaluation/evaluate.py",
            inputs=[ProcessingInput(source, f"{home}/{name}", name) for name, source in sources.items()],
            outputs=[
                ProcessingOutput(
                    "/opt/ml/processing/output/evaluation",
                    self._output("evaluate", "evaluation"),
                    "evaluation",
                )
            ],
            arguments=[
                *(part for name in sources for part in (f"--{name}", f"{home}/{name}")),
                *self._paths(("evaluation",), flag="output"),
                *self._flags("MinRelativeGain", "MaxChampionLoss", "OverrideReason", "ChampionVersion"),
                *self._flags("ChampionSha256", "ChampionAccumulatedLoss", "CutOff", "Seed", "GitCommit"),
                *("--input-uri", self._value("InputData")),
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

        statistics = self._file(evaluate, "evaluation", "evaluation.json")
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
            description=Join(on=" ", values=[PURPOSE, self._figure(evaluate, report, "gate.reason")]),
            domain="MACHINE_LEARNING",
            task="REGRESSION",
            model_card=ModelPackageModelCard(model_card_status="Draft", model_card_content=MODEL_CARD),
            model_metrics=ModelMetrics(model_statistics=MetricsSource("application/json", statistics)),
            customer_metadata_properties={
                **{name: self._text(name) for name in ("InputData", "CutOff", "GitCommit", "ChampionModel", "Seed")},
                **{name: self._figure(evaluate, report, f"summary.{path}") for name, path in SUMMARY.items()},
                "Evaluation": statistics,
                "Report": self._file(evaluate, "evaluation", "report.html"),
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
                    self._figure(evaluate, report, "gate.reason"),
                    "Figures:",
                    self._file(evaluate, "evaluation", "evaluation.json"),
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
            conditions=[ConditionGreaterThanOrEqualTo(self._figure(evaluate, report, "gate.register"), 1)],
            if_steps=[register],
            else_steps=[reject],
        )

    def _cache(self) -> Any:
        from sagemaker.workflow.steps import CacheConfig

        return CacheConfig(enable_caching=True, expire_after=CACHED_FOR)

    def _parameter(self, declared: Any) -> Any:
        from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString

        kinds = {"String": ParameterString, "Integer": ParameterInteger, "Float": ParameterFloat}
        default = declared.default
        if declared.name == "GitCommit":
            default = self.settings.git_commit
        elif isinstance(default, str):
            default = default.format(**vars(self.settings))
        return kinds[declared.type](name=declared.name, default_value=default)

    def _value(self, name: str) -> Any:
        return self.parameters[name]

    def _flags(self, *names: str) -> list[Any]:
        """`--min-beers`, the parameter, ...: container arguments are strings, so numbers become a Std:Join."""
        return [part for name in names for part in (f"--{kebab(name)}", self._text(name))]

    def _text(self, name: str) -> Any:
        value = self.parameters[name]
        return value if value.parameter_type.value == "String" else value.to_string()

    def _paths(self, names: tuple[str, ...], flag: str | None = None) -> list[str]:
        return [part for name in names for part in (f"--{flag or name}", f"/opt/ml/processing/output/{name}")]

    def _output(self, *parts: str) -> Any:
        """An S3 address under this execution's prefix."""
        from sagemaker.workflow.execution_variables import ExecutionVariables
        from sagemaker.workflow.functions import Join

        return Join(
            on="/",
            values=[f"{HOME}/executions", ExecutionVariables.PIPELINE_EXECUTION_ID, *parts],
        )

    def _made(self, step: Any, output: str) -> Any:
        """The S3 address of a processing step's output."""
        return step.properties.ProcessingOutputConfig.Outputs[output].S3Output.S3Uri

    def _figure(self, step: Any, report: Any, path: str) -> Any:
        """A Std:JsonGet of a member of evaluation.json."""
        from sagemaker.workflow.functions import JsonGet

        return JsonGet(step_name=step.name, property_file=report, json_path=path)

    def _file(self, step: Any, output: str, name: str) -> Any:
        from sagemaker.workflow.functions import Join

        return Join(on="/", values=[self._made(step, output), name])

    def _processing(
        self,
        name: str,
        display_name: str,
        description: str,
        *,
        script: str,
        inputs: list[Any],
        outputs: list[Any],
        arguments: list[Any],
        property_files: list[Any] | None = None,
    ) -> Any:
        from sagemaker.network import NetworkConfig
        from sagemaker.processing import ProcessingInput, Processor
        from sagemaker.workflow.steps import ProcessingStep

        folder, _, file = script.partition("/")
        key = f"${{{folder.capitalize()}Code}}"
        code = ProcessingInput(f"{HOME}/{key}/", "/opt/ml/processing/input/code", "code")
        processor = Processor(
            self.settings.job_role_arn,
            self.image,
            instance_count=1,
            instance_type=self._value("ProcessingInstanceType"),
            entrypoint=["python3", f"/opt/ml/processing/input/code/{file}"],
            # Inputs and outputs are copied by SageMaker; the scripts need no network.
            network_config=NetworkConfig(enable_network_isolation=True),
            max_runtime_in_seconds=HOUR,
            output_kms_key=self.settings.kms_key_arn,
            volume_kms_key=self.settings.kms_key_arn,
            sagemaker_session=self.session,
        )
        return ProcessingStep(
            name=name,
            display_name=display_name,
            description=description,
            step_args=processor.run(inputs=[code, *inputs], outputs=outputs, arguments=arguments),
            property_files=property_files,
            cache_config=self._cache(),
            retry_policies=sdk.retries(),
        )
