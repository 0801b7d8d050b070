"""Endpoints: create, update, describe, list, delete."""

from localaws import shapes
from localaws.sagemaker import events, switches, tags
from localaws.sagemaker.service import Service, arn, here, listing, now, stored, validation_error
from localaws.sagemaker.serving import model_data
from localaws.sagemaker.serving.deployment_config import steps
from localaws.sagemaker.serving.deployments import ENDPOINT, Deployments, set_status
from localaws.sagemaker.serving.endpoint_configs import config_of, deployment_plan, is_serverless
from localaws.sagemaker.serving.variants import pending, retained, summaries, with_capacities
from localaws.store import Document, Store

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Endpoints:
    """Handlers of the endpoint operations."""

    def __init__(self, service: Service, deployments: Deployments) -> None:
        self.store = service.store
        self.deployments = deployments
        service.add(
            {
                "CreateEndpoint": self.create,
                "UpdateEndpoint": self.update,
                "UpdateEndpointWeightsAndCapacities": self.update_capacities,
                "DescribeEndpoint": self.describe,
                "ListEndpoints": self.list_endpoints,
                "DeleteEndpoint": self.delete,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateEndpoint: Creating, then InService or Failed."""
        name = request["EndpointName"]
        endpoint_arn = arn(f"{ENDPOINT}/{name.lower()}")
        plan = _plan(self.store, request["EndpointConfigName"])
        steps(request.get("DeploymentConfig"), plan["Variants"][0].get("InitialInstanceCount", 1))
        document = {
            "EndpointName": name,
            "EndpointArn": endpoint_arn,
            "EndpointConfigName": plan["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "CreationTime": now(),
            "LastModifiedTime": now(),
            "Target": plan,
        }
        with self.store.transaction():
            if self.store.get(ENDPOINT, endpoint_arn):
                raise validation_error(f'Cannot create already existing endpoint "{endpoint_arn}".')
            self.store.put(ENDPOINT, endpoint_arn, document)
            tags.put(self.store, endpoint_arn, request.get("Tags"))
            events.endpoint_changed(self.store, document, request.get("Tags", []))
        events.send(self.store)
        self.deployments.create(endpoint_arn)
        return {"EndpointArn": endpoint_arn}

    def update(self, request: Document) -> Document:
        """UpdateEndpoint: Updating, then InService with the new or, after a rollback, the old configuration."""
        with self.store.transaction():
            endpoint = self._changeable(request["EndpointName"])
            plan = _update_plan(self.store, endpoint, request)
            config = request.get("DeploymentConfig")
            if request.get("RetainDeploymentConfig"):
                config = endpoint.get("LastDeploymentConfig")
            steps(config, plan["Variants"][0].get("InitialInstanceCount", 1))
            changes = {
                "Target": plan,
                "DeploymentConfig": config,
                "Fault": switches.take(self.store, "EndpointUpdate"),
                "PendingDeploymentSummary": pending(plan),
                "FailureReason": None,
            }
            set_status(self.store, endpoint["EndpointArn"], "Updating", **changes)
        events.send(self.store)
        self.deployments.update(endpoint["EndpointArn"])
        return {"EndpointArn": endpoint["EndpointArn"]}

    def update_capacities(self, request: Document) -> Document:
        """UpdateEndpointWeightsAndCapacities: Updating, then InService. Processes are not added or removed."""
        with self.store.transaction():
            endpoint = self._changeable(request["EndpointName"])
            plan = with_capacities(endpoint["Serving"], request["DesiredWeightsAndCapacities"])
            endpoint_arn = endpoint["EndpointArn"]
            set_status(self.store, endpoint_arn, "Updating")
            set_status(self.store, endpoint_arn, "InService", Serving=plan, **summaries(plan))
        events.send(self.store)
        for fleet in self.deployments.traffic[endpoint_arn].fleets:
            fleet.adopt(plan)
        return {"EndpointArn": endpoint_arn}

    def describe(self, request: Document) -> Document:
        """DescribeEndpoint."""
        endpoint = endpoint_of(self.store, request["EndpointName"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribeEndpoint"), endpoint)

    def list_endpoints(self, request: Document) -> Document:
        """ListEndpoints, newest first by default."""
        wanted, status = request.get("NameContains", ""), request.get("StatusEquals")
        by = {"Name": "EndpointName", "Status": "EndpointStatus"}.get(request.get("SortBy", ""), "CreationTime")
        return listing(
            "ListEndpoints",
            here(self.store.all(ENDPOINT), "EndpointArn"),
            request,
            matches=lambda each: wanted in each["EndpointName"] and status in (None, each["EndpointStatus"]),
            by=by,
        )

    def delete(self, request: Document) -> Document:
        """DeleteEndpoint; refused while the endpoint is being created or updated."""
        with self.store.transaction():
            endpoint = endpoint_of(self.store, request["EndpointName"])
            _refuse_changing(endpoint)
            set_status(self.store, endpoint["EndpointArn"], "Deleting")
        events.send(self.store)
        self.deployments.delete(endpoint["EndpointArn"])
        return {}

    def _changeable(self, name: str) -> Document:
        endpoint = endpoint_of(self.store, name)
        _refuse_changing(endpoint)
        if not endpoint.get("Serving"):
            raise validation_error(
                f'Cannot update endpoint "{endpoint["EndpointArn"]}": it was not created successfully. Delete it.'
            )
        return endpoint


def endpoint_of(store: Store, name: str) -> Document:
    """The stored endpoint; ValidationException when there is none."""
    return stored(store, ENDPOINT, name, "endpoint")


def _refuse_changing(endpoint: Document) -> None:
    if endpoint["EndpointStatus"] in CHANGING:
        raise validation_error(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')


def _update_plan(store: Store, endpoint: Document, request: Document) -> Document:
    """The plan of an UpdateEndpoint request. Raises ValidationException where AWS refuses the update."""
    before = config_of(store, endpoint["EndpointConfigName"])
    if request["EndpointConfigName"].lower() == before["EndpointConfigName"].lower():
        raise validation_error(
            f'Cannot update endpoint "{endpoint["EndpointArn"]}" to the endpoint configuration that it has.'
        )
    config = config_of(store, request["EndpointConfigName"])
    if is_serverless(config) and not is_serverless(before):
        raise validation_error("An endpoint on instances cannot be updated to a serverless configuration.")
    config_steps = request.get("DeploymentConfig", {})
    if is_serverless(config) and "RollingUpdatePolicy" in config_steps:
        raise validation_error("Serverless endpoints do not support rolling deployments.")
    plan = _plan(store, request["EndpointConfigName"])
    if request.get("RetainAllVariantProperties"):
        excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])}
        plan = retained(plan, endpoint["Serving"], excluded)
    names = [[each["VariantName"] for each in side["Variants"]] for side in (plan, endpoint["Serving"])]
    if config_steps and names[0] != names[1]:
        raise validation_error("A deployment configuration needs the production variants that the endpoint has.")
    return plan


def _plan(store: Store, config_name: str) -> Document:
    """The deployment plan of a configuration; ValidationException for an image without a model server here."""
    plan = deployment_plan(store, config_of(store, config_name))
    for variant in plan["Variants"]:
        for container in variant["Containers"]:
            if not model_data.runnable(container):
                raise validation_error(model_data.refusal(container))
    return plan
