"""The CloudFormation stacks of an environment: names, parameters, deployment by change sets, outputs.

    tapline-dev-artifacts -> tapline-dev-ingestion -> tapline-dev-pipelines

The outputs of a stack are parameters of the later ones, matched by name.
"""

import datetime
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localaws.errors import NOT_FOUND, WRONG_USAGE, ExpectedError
from pipelines.account import change_sets
from pipelines.account.clients import Clients, aws_errors
from pipelines.authoring import archives, committed, templates
from pipelines.cli.arguments import ENVIRONMENT, command_line, python_command
from pipelines.cli.output import Document

TEMPLATES = archives.ROOT / "cloudformation"
STACKS = ("artifacts", "ingestion", "pipelines", "deployment", "warehouse")
# A longer template has to be read from S3 (CloudFormation's quota for TemplateBody, in bytes).
MAX_BODY = 51_200
# Resources with data: a stack policy denies their replacement and deletion in a protected environment.
STATEFUL = ("AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::KMS::Key", "AWS::SageMaker::ModelPackageGroup")
STACK_POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["Update:Replace", "Update:Delete"],
            "Principal": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"ResourceType": list(STATEFUL)}},
        },
    ]
}
# What a record waits in a delivery besides its buffer: that of the Lambda, and three retries of it.
OTHER_BUFFERS_SECONDS = 240.0
Values = dict[str, str]


@dataclass(frozen=True)
class Environment:
    """One environment's parameters, from cloudformation/parameters/<name>.json.

    parameters: stack -> parameter -> value. tags: of every resource that supports them. protected: termination
    protection and a stack policy on every stack.
    """

    name: str
    parameters: dict[str, Values]
    tags: Values
    protected: bool = False

    def stack(self, short: str) -> str:
        """`artifacts` -> `tapline-dev-artifacts`."""
        return f"tapline-{self.name}-{short}"


def environment(name: str, overrides: dict[str, Values] | None = None) -> Environment:
    """Read an environment's file; raises ExpectedError when there is none or it is malformed."""
    path = TEMPLATES / "parameters" / f"{name}.json"
    known = sorted(each.stem for each in path.parent.glob("*.json"))
    if not path.exists():
        raise ExpectedError(
            f"no environment {name!r} (have: {', '.join(known)})",
            where=str(path),
            hint=command_line("deploy", "--env", known[0] if known else "dev"),
            code=WRONG_USAGE,
        )
    try:
        content = json.loads(path.read_text())
        parameters = {short: dict(content.get(short, {})) for short in STACKS}
        tags = dict(content.get("tags", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise ExpectedError(
            f"the parameter file is not an object of objects ({', '.join((*STACKS, 'tags'))}): {error}",
            where=str(path),
            hint=f"{python_command()} -m json.tool {shlex.quote(str(path))}",
            code=WRONG_USAGE,
        ) from error
    for short, values in (overrides or {}).items():
        parameters[short] |= values
    return Environment(name, parameters, tags, content.get("protected") is True)


class Stacks:
    """Deploys and reads the stacks of one environment."""

    def __init__(self, clients: Clients, environment: Environment, pause: Callable[[float], None] = time.sleep) -> None:
        self.clients = clients
        self.environment = environment
        self._pause = pause
        self._outputs: dict[str, Values] = {}

    def deploy(self, show: Callable[[str, str], None] = lambda stack, outcome: None) -> dict[str, str]:
        """Create or update all stacks in order; returns stack -> "created", "updated" or "unchanged".

        show(stack, outcome) is called after each one.
        """
        outcomes = {}
        for short in STACKS:
            outcomes[short] = self.deploy_one(short)
            show(short, outcomes[short])
        return outcomes

    def deploy_one(self, short: str, overrides: Values | None = None) -> str:
        """Create or update one stack from the environment's parameters, the uploaded code and earlier outputs."""
        name = self.environment.stack(short)
        body = (TEMPLATES / f"{short}.yaml").read_text()
        values = {**self.environment.parameters[short], **self._shipped(short), **(overrides or {})}
        with aws_errors(f"deploying {name}"):
            given = {**self._earlier_outputs(short), **values}
            declared = templates.parse(body)["Parameters"]
            parameters = {key: given[key] for key in declared if key in given}
            if short == "ingestion":
                self._change_format(parameters, declared)
            applied = change_sets.apply(
                self.clients,
                {
                    "StackName": name,
                    "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                    "Tags": [{"Key": key, "Value": value} for key, value in self.environment.tags.items()],
                    "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                    **self._template(body),
                },
            )
            if applied is None:
                return "unchanged"
            self._outputs[short] = outputs(applied.stack)
            self._protect(short)
            return "created" if applied.created else "updated"

    def _change_format(self, parameters: Values, declared: Document) -> None:
        """Before the delivery in one format is deleted: make the other one, and let the first deliver what it holds.

        A delivery stream begins to read at the end of the Kinesis stream, and one that is deleted loses its buffer.
        https://docs.aws.amazon.com/firehose/latest/dev/writing-with-kinesis-streams.html
        """
        stack = change_sets.describe(self.clients.cloudformation, self.environment.stack("ingestion")) or {}
        found = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])}
        wanted = parameters.get("CleanedFormat", declared["CleanedFormat"]["Default"])
        parameters["ParquetSince"] = found.get("ParquetSince", "NOW")
        if wanted != "csv" and parameters["ParquetSince"] == "NOW":
            parameters["ParquetSince"] = datetime.datetime.now(datetime.UTC).date().isoformat()
        if found.get("CleanedFormat", wanted) in (wanted, "") or wanted == "both":
            return
        if found["CleanedFormat"] != "both":
            self.deploy_one("ingestion", {"CleanedFormat": "both"})
        self._pause(float(found["BufferIntervalInSeconds"]) + OTHER_BUFFERS_SECONDS)

    def exists(self, short: str) -> bool:
        """Whether a stack exists."""
        name = self.environment.stack(short)
        with aws_errors(f"reading {name}"):
            return change_sets.describe(self.clients.cloudformation, name) is not None

    def delete(self, short: str) -> str:
        """Delete a stack; returns "deleted" or "not there". Resources with DeletionPolicy Retain stay."""
        name = self.environment.stack(short)
        with aws_errors(f"deleting {name}"):
            deleted = change_sets.delete(self.clients, name)
        self._outputs.pop(short, None)
        return deleted

    def deploy_command(self) -> str:
        """The command that deploys this environment, to paste; --local makes `dev` alone."""
        if self.clients.local and self.environment.name != ENVIRONMENT:
            exports = f'eval "$({self.clients.command("local", "up")})"'
            return f"{exports} && {command_line('deploy', '--env', self.environment.name)}"
        flags = self.clients.flags or f"--env {self.environment.name}"
        return command_line("run" if self.clients.local else "deploy", flags=flags)

    def _protect(self, short: str) -> None:
        """Set termination protection and the stack policy in a protected environment."""
        if not self.environment.protected:
            return
        name = self.environment.stack(short)
        self.clients.cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=True)
        self.clients.cloudformation.set_stack_policy(StackName=name, StackPolicyBody=json.dumps(STACK_POLICY))

    def outputs(self, short: str) -> Values:
        """A stack's outputs by name; raises ExpectedError when there is no such stack."""
        if short not in self._outputs:
            name = self.environment.stack(short)
            with aws_errors(f"reading the outputs of {name}"):
                stack = change_sets.describe(self.clients.cloudformation, name)
            if stack is None:
                raise ExpectedError(
                    f"the stack {name} does not exist",
                    where=f"CloudFormation in {self.clients.region}",
                    hint=self.deploy_command(),
                    code=NOT_FOUND,
                )
            self._outputs[short] = outputs(stack)
        return self._outputs[short]

    def output(self, short: str, key: str) -> str:
        """One output; raises ExpectedError when the stack lacks it."""
        found = self.outputs(short)
        if key not in found:
            raise ExpectedError(
                f"the stack {self.environment.stack(short)} has no output {key} (have: {', '.join(found)})",
                where=f"CloudFormation in {self.clients.region}",
                hint=self.deploy_command(),
                code=NOT_FOUND,
            )
        return found[key]

    def upload(self, asset: archives.Asset) -> str:
        """Upload an asset to the artifact bucket unless its key exists; returns the key."""
        upload(self.clients, self.output("artifacts", "ArtifactBucket"), asset)
        return asset.key

    def _shipped(self, short: str) -> Values:
        """Upload what a stack's template refers to by key; returns the parameters with the keys.

        The state machine's definition is the file beside the templates, written by `--print-workflow`: a deployment
        needs no SDK, and what it deploys can be reviewed.
        """
        if short == "ingestion":
            return {"CodeKey": self.upload(archives.lambda_archive()), **self._machines("load", "backfill")}
        if short == "pipelines":
            return self._machines("retrain")
        if short == "deployment":
            # The pipeline's upsert uploads the code.
            code = archives.step_folder("evaluation")[0].folder
            image = committed.image(self.clients.region)
            return {**self._machines("deploy", "score"), "EvaluationCode": code, "ImageUri": image}
        return {}

    def _machines(self, *names: str) -> Values:
        return {
            f"{name.title()}DefinitionKey": self.upload(archives.document(name, committed.machine(name)))
            for name in names
        }

    def _earlier_outputs(self, short: str) -> Values:
        found: Values = {}
        for earlier in STACKS[: STACKS.index(short)]:
            found |= self.outputs(earlier)
        return found

    def _template(self, body: str) -> Values:
        if len(body.encode()) <= MAX_BODY:
            return {"TemplateBody": body}
        asset = archives.document("templates", body)
        bucket = self.output("artifacts", "ArtifactBucket")
        upload(self.clients, bucket, asset)
        return {"TemplateURL": f"https://{bucket}.s3.{self.clients.region}.amazonaws.com/{asset.key}"}


def outputs(stack: Document) -> Values:
    """A described stack's outputs by name."""
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def upload(clients: Clients, bucket: str, asset: archives.Asset) -> bool:
    """Upload an asset unless its key exists in the bucket; True when it was uploaded."""
    import botocore.exceptions

    with aws_errors(f"uploading {asset.key} to {bucket}"):
        try:
            clients.s3.head_object(Bucket=bucket, Key=asset.key)
            return False
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        clients.s3.put_object(Bucket=bucket, Key=asset.key, Body=asset.content)
        return True


def template(short: str) -> Path:
    """The file of a stack's template."""
    return TEMPLATES / f"{short}.yaml"
