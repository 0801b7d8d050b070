"""An endpoint that enforces policies, and a user for each role of the stacks, with exactly the role's rights."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.exceptions
from botocore import xform_name

from localaws import shapes
from localaws.clients import REGION
from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from pipelines.account.stacks import STACKS, Stacks, environment
from pipelines.cli.output import Document

DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "403"}
# Service, operation as boto3 names it, arguments.
Call = tuple[str, str, dict[str, Any]]

# Operations whose right has another name (the service authorization reference).
RIGHTS = {"lambda:Invoke": "lambda:InvokeFunction", "s3:ListObjectsV2": "s3:ListBucket"}
PREFIXES = {"stepfunctions": "states"}


def right(call: Call) -> str:
    """The IAM action that a call needs: ("s3", "get_object", ...) -> s3:GetObject."""
    service, operation, _ = call
    name = next(each for each in shapes.service_model(service).operation_names if xform_name(each) == operation)
    action = f"{PREFIXES.get(service, service)}:{name}"
    return RIGHTS.get(action, action)


class Strict:
    """The stacks of dev at an endpoint with LOCALAWS_AUTH=true. names: the outputs of all stacks, by their keys."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.clients = Clients(endpoint)
        self.stacks = Stacks(self.clients, environment("dev"))
        self.names = {key: value for short in STACKS for key, value in self.stacks.outputs(short).items()}
        # Role's logical id -> its name at AWS.
        self.roles = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in self._described_roles()}
        self._policies: dict[str, dict[str, Document]] = {}
        self._sessions: dict[str, Any] = {}
        self._made: dict[tuple[str, str], Any] = {}
        self._answer_without_tls()

    def _described_roles(self) -> Iterator[Document]:
        for short in STACKS:
            stack = self.stacks.environment.stack(short)
            described = self.clients.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
            yield from (each for each in described if each["ResourceType"] == "AWS::IAM::Role")

    def _answer_without_tls(self) -> None:
        """The buckets and topics refuse requests without TLS, so all on loopback; here the roles must decide."""
        for bucket in (self.names["DataBucket"], self.names["ArtifactBucket"]):
            self.clients.s3.delete_bucket_policy(Bucket=bucket)
        for topic in (self.names["TopicArn"], self.names["SkipsTopicArn"]):
            policy = json.loads(self.clients.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
            policy["Statement"] = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
            self.clients.sns.set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
            )

    def granted(self, role: str) -> set[str]:
        """The actions that a role's policies allow."""
        self.session(role)
        statements = [each for policy in self._policies[role].values() for each in policy["Statement"]]
        return {action for each in statements for action in _actions(each)}

    def session(self, role: str) -> Any:
        """A boto3 session of a user with exactly the policies of a role, which is named by its logical id."""
        if role not in self._sessions:
            iam, name = self.clients.iam, self.roles[role]
            self._policies[role] = {}
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                self._policies[role][policy] = json.loads(document) if isinstance(document, str) else document
            iam.create_user(UserName=role)
            self._give(role, self._policies[role])
            key = iam.create_access_key(UserName=role)["AccessKey"]
            self._sessions[role] = boto3.session.Session(
                aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], region_name=REGION
            )
        return self._sessions[role]

    def _give(self, role: str, policies: dict[str, Document]) -> None:
        for name, document in policies.items():
            if document["Statement"]:
                self.clients.iam.put_user_policy(UserName=role, PolicyName=name, PolicyDocument=json.dumps(document))
            else:
                self.clients.iam.delete_user_policy(UserName=role, PolicyName=name)

    @contextmanager
    def without(self, role: str, action: str) -> Iterator[None]:
        """While inside, the role's user has the role's policies less one action."""
        self.session(role)
        try:
            self._give(role, {name: _less(each, action) for name, each in self._policies[role].items()})
            yield
        finally:
            self._give(role, self._policies[role])

    def attempt(self, role: str, call: Call) -> str:
        """Make a call as a role's user: "allowed", "denied", or the code of an error that came of an allowed call."""
        service, operation, arguments = call
        try:
            answer = getattr(self._client(role, service), operation)(**arguments)
        except botocore.exceptions.ClientError as error:
            code = str(error.response["Error"]["Code"])
            return "denied" if code in DENIED else code
        return str(answer.get("FunctionError", "allowed"))

    def _client(self, role: str, service: str) -> Any:
        if (role, service) not in self._made:
            client = self.session(role).client(service, endpoint_url=self.endpoint.url)
            client.meta.events.register("before-call.athena", self._name_workgroup)
            self._made[role, service] = client
        return self._made[role, service]

    def _name_workgroup(self, params: Document, **_: Any) -> None:
        """AWS resolves a query's workgroup and checks the right on it; MiniStack checks the request's own resource."""
        request = json.loads(params["body"])
        if "QueryExecutionId" in request:
            query = self.clients.athena.get_query_execution(QueryExecutionId=request["QueryExecutionId"])
            request["WorkGroup"] = query["QueryExecution"]["WorkGroup"]
            params["body"] = json.dumps(request).encode()


def _actions(statement: Document) -> list[str]:
    listed = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


def _less(policy: Document, action: str) -> Document:
    left = [{**each, "Action": [one for one in _actions(each) if one != action]} for each in policy["Statement"]]
    return {**policy, "Statement": [each for each in left if each["Action"]]}
