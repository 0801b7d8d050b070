"""Endpoint configurations: which models serve, on what, with which share of the requests."""

from localaws import shapes
from localaws.sagemaker import tags
from localaws.sagemaker.models import containers_of, model_of
from localaws.sagemaker.service import Service, arn, here, listing, now, stored, validation_error
from localaws.store import Document, Store

CONFIG = "endpoint-config"
NOT_OFFERED = ("ShadowProductionVariants", "AsyncInferenceConfig", "ExplainerConfig")
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-memory
SERVERLESS_MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)


class EndpointConfigs:
    """Handlers of the endpoint configuration operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add(
            {
                "CreateEndpointConfig": self.create,
                "DescribeEndpointConfig": self.describe,
                "ListEndpointConfigs": self.list_configs,
                "DeleteEndpointConfig": self.delete,
            }
        )

    def create(self, request: Document) -> Document:
        """CreateEndpointConfig."""
        config_arn = arn(f"{CONFIG}/{request['EndpointConfigName'].lower()}")
        _validate(self.store, request)
        document = {**request, "EndpointConfigArn": config_arn, "CreationTime": now()}
        document.pop("Tags", None)
        for variant in document["ProductionVariants"]:
            variant.setdefault("InitialVariantWeight", 1.0)
        with self.store.transaction():
            if self.store.get(CONFIG, config_arn):
                raise validation_error(f'Cannot create already existing endpoint configuration "{config_arn}".')
            self.store.put(CONFIG, config_arn, document)
            tags.put(self.store, config_arn, request.get("Tags"))
        return {"EndpointConfigArn": config_arn}

    def describe(self, request: Document) -> Document:
        """DescribeEndpointConfig."""
        config = config_of(self.store, request["EndpointConfigName"])
        return shapes.project(shapes.output_shape("sagemaker", "DescribeEndpointConfig"), config)

    def list_configs(self, request: Document) -> Document:
        """ListEndpointConfigs, newest first by default."""
        wanted = request.get("NameContains", "")
        return listing(
            "ListEndpointConfigs",
            here(self.store.all(CONFIG), "EndpointConfigArn"),
            request,
            matches=lambda config: wanted in config["EndpointConfigName"],
            by="EndpointConfigName" if request.get("SortBy") == "Name" else "CreationTime",
        )

    def delete(self, request: Document) -> Document:
        """DeleteEndpointConfig; refused while an endpoint is being created or updated with it.

        AWS deletes one that serves, too, and the endpoint cannot be updated afterwards:
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpointConfig.html
        """
        config = config_of(self.store, request["EndpointConfigName"])
        for endpoint in here(self.store.all("endpoint"), "EndpointArn"):
            target = (endpoint.get("Target") or {}).get("EndpointConfigName")
            if config["EndpointConfigName"] == target:
                raise validation_error(
                    f'Cannot delete endpoint configuration "{config["EndpointConfigArn"]}": the endpoint '
                    f'"{endpoint["EndpointArn"]}" is {endpoint["EndpointStatus"]} with it.'
                )
        tags.delete_all(self.store, config["EndpointConfigArn"])
        self.store.delete(CONFIG, config["EndpointConfigArn"])
        return {}


def config_of(store: Store, name: str) -> Document:
    """The stored endpoint configuration; ValidationException when there is none."""
    return stored(store, CONFIG, name, "endpoint configuration")


def is_serverless(config: Document) -> bool:
    """Whether the variants of a configuration are serverless."""
    return "ServerlessConfig" in config["ProductionVariants"][0]


def deployment_plan(store: Store, config: Document) -> Document:
    """What an endpoint needs to serve a configuration, so that it outlives the models' and the configuration's records.

    {EndpointConfigName, DataCaptureConfig, Variants: [the variant with Containers: see models.resolve]}
    """
    variants = [
        {**variant, "Containers": containers_of(store, model_of(store, variant["ModelName"]))}
        for variant in config["ProductionVariants"]
    ]
    return {
        "EndpointConfigName": config["EndpointConfigName"],
        "DataCaptureConfig": config.get("DataCaptureConfig"),
        "Variants": variants,
    }


def _validate(store: Store, request: Document) -> None:
    """Refuse what AWS refuses beyond its model's shapes."""
    for member in NOT_OFFERED:
        if member in request:
            raise validation_error(f"The local SageMaker does not offer {member}.")
    variants = request["ProductionVariants"]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise validation_error("Production variant names must be unique within an endpoint configuration.")
    if not any(variant.get("InitialVariantWeight", 1.0) for variant in variants):
        raise validation_error("At least one production variant must have a weight above 0.")
    for variant in variants:
        if "ModelName" not in variant or "InstancePools" in variant:
            raise validation_error("The local SageMaker does not offer inference components or instance pools.")
        model = model_of(store, variant["ModelName"])
        if "ServerlessConfig" in variant:
            _validate_serverless(request, variant, model)
        elif "InstanceType" not in variant or "InitialInstanceCount" not in variant:
            raise validation_error(
                f"Production variant {variant['VariantName']} needs InstanceType and InitialInstanceCount, or a "
                "ServerlessConfig."
            )


def _validate_serverless(request: Document, variant: Document, model: Document) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions"""
    settings = variant["ServerlessConfig"]
    refused = {
        "InstanceType or InitialInstanceCount": "InstanceType" in variant or "InitialInstanceCount" in variant,
        "several production variants": len(request["ProductionVariants"]) > 1,
        "data capture": request.get("DataCaptureConfig", {}).get("EnableCapture", "DataCaptureConfig" in request),
        "a VPC configuration": "VpcConfig" in model,
        "network isolation": bool(model.get("EnableNetworkIsolation")),
    }
    for what, given in refused.items():
        if given:
            raise validation_error(f"Serverless endpoints do not support {what}.")
    if settings["MemorySizeInMB"] not in SERVERLESS_MEMORY:
        sizes = ", ".join(map(str, SERVERLESS_MEMORY))
        raise validation_error(f"MemorySizeInMB {settings['MemorySizeInMB']} is not one of {sizes}.")
    if settings.get("ProvisionedConcurrency", 0) > settings["MaxConcurrency"]:
        raise validation_error("ProvisionedConcurrency must not exceed MaxConcurrency.")
