"""What the steps of the pipeline are made of: parameters, addresses under S3, members of evaluation.json, jobs."""

from typing import Any

from pipelines.authoring import sdk
from pipelines.authoring.parameters import PARAMETERS, kebab
from pipelines.authoring.settings import Settings

HOUR = 3600
# A step's result is reused for this long if its arguments are equal. All inputs have immutable addresses.
# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html
CACHED_FOR = "30d"
HOME = "s3://${ArtifactBucket}/${PipelineName}"


class StepArguments:
    """The arguments of steps, as the SageMaker SDK takes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.session = sdk.offline_session(settings.region, settings.artifact_bucket)
        self.image = "${ImageUri}"
        self.parameters = {each.name: self._parameter(each) for each in PARAMETERS}

    def cache(self) -> Any:
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

    def value(self, name: str) -> Any:
        return self.parameters[name]

    def flags(self, *names: str) -> list[Any]:
        """`--min-beers`, the parameter, ...: container arguments are strings, so numbers become a Std:Join."""
        return [part for name in names for part in (f"--{kebab(name)}", self.text(name))]

    def text(self, name: str) -> Any:
        value = self.parameters[name]
        return value if value.parameter_type.value == "String" else value.to_string()

    def paths(self, names: tuple[str, ...], flag: str | None = None) -> list[str]:
        return [part for name in names for part in (f"--{flag or name}", f"/opt/ml/processing/output/{name}")]

    def output(self, *parts: str) -> Any:
        """An S3 address under this execution's prefix."""
        from sagemaker.workflow.execution_variables import ExecutionVariables
        from sagemaker.workflow.functions import Join

        return Join(
            on="/",
            values=[f"{HOME}/executions", ExecutionVariables.PIPELINE_EXECUTION_ID, *parts],
        )

    def made(self, step: Any, output: str) -> Any:
        """The S3 address of a processing step's output."""
        return step.properties.ProcessingOutputConfig.Outputs[output].S3Output.S3Uri

    def figure(self, step: Any, report: Any, path: str) -> Any:
        """A Std:JsonGet of a member of evaluation.json."""
        from sagemaker.workflow.functions import JsonGet

        return JsonGet(step_name=step.name, property_file=report, json_path=path)

    def file(self, step: Any, output: str, name: str) -> Any:
        from sagemaker.workflow.functions import Join

        return Join(on="/", values=[self.made(step, output), name])

    def processing(
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
            instance_type=self.value("ProcessingInstanceType"),
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
            cache_config=self.cache(),
            retry_policies=sdk.retries(),
        )
