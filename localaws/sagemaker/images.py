"""SageMaker images: there are none, so that the SDK takes a plain ECR image for what it is."""

from localaws.sagemaker.service import ApiError, Service, arn, not_found
from localaws.store import Document


class Images:
    """Handlers of the image operations that the SDK calls."""

    def __init__(self, service: Service) -> None:
        service.add(
            {
                "DescribeImage": self.describe,
                "DescribeImageVersion": self.describe_version,
                "ListImages": self.list_images,
                "ListImageVersions": self.describe_version,
            }
        )

    def describe(self, request: Document) -> Document:
        """DescribeImage: ResourceNotFound."""
        raise not_found(f"Image with arn {arn('image/' + request['ImageName'])} does not exist.")

    def describe_version(self, request: Document) -> Document:
        """DescribeImageVersion and ListImageVersions: ResourceNotFound."""
        raise _no_version(request["ImageName"])

    def list_images(self, request: Document) -> Document:
        """ListImages."""
        return {"Images": []}


def _no_version(name: str) -> ApiError:
    return not_found(f"ImageVersion with arn {arn(f'image-version/{name}/-1')} does not exist.")
