"""Container images without Docker: what runs here in an image's place, and what has to be installed for it.

An image is known by its repository, as `sagemaker.image_uris.retrieve` builds the URI. Its Python code runs with the
packages of this interpreter; the image's own programs exist here for XGBoost alone.
"""

import contextlib
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from localaws.sagemaker import image_packages

# Repository -> the packages that code in the image imports, as (module, what to install).
SKLEARN, XGBOOST = ("sklearn", "scikit-learn"), ("xgboost", "xgboost-cpu")
TORCH, TENSORFLOW = ("torch", "torch"), ("tensorflow", "tensorflow-cpu")
PACKAGES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (r"sagemaker-scikit-learn", (SKLEARN,)),
    (r"(sagemaker-)?xgboost", (XGBOOST,)),
    (r"pytorch-(training|inference).*", (TORCH,)),
    (r"tensorflow-(training|inference).*", (TENSORFLOW,)),
    (r"huggingface-pytorch-.*", (TORCH, ("transformers", "transformers"))),
    (r"huggingface-tensorflow-.*", (TENSORFLOW, ("transformers", "transformers"))),
    (r"sagemaker-(base-python|distribution|data-science).*", ()),
)
# Images whose program cannot be replaced by this interpreter: AWS's algorithms, Spark, Clarify, Model Monitor.
# https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
CLOSED = re.compile(
    r"linear-learner|kmeans|pca|factorization-machines|knn|lda|ntm|object2vec|randomcutforest|ipinsights|seq2seq"
    r"|blazingtext|image-classification.*|object-detection|semantic-segmentation|forecasting-deepar|autogluon-.*"
    r"|sagemaker-spark-processing|sagemaker-clarify-processing|sagemaker-model-monitor-analyzer"
    r"|sagemaker-(lightgbm|catboost|tabtransformer).*|mxnet-.*"
)
# What code written for another version of a package raises.
OTHER_VERSION = re.compile(r"\b(AttributeError|ImportError|ModuleNotFoundError|TypeError)\b")
VERSION = re.compile(r"\d+(\.\d+)*(-\d+)?")


@dataclass(frozen=True)
class Image:
    """An image URI taken apart: `<registry>/<repository>:<tag>`."""

    uri: str
    repository: str
    tag: str

    @property
    def is_xgboost(self) -> bool:
        """Whether the image holds AWS's XGBoost algorithm."""
        return self.repository in ("xgboost", "sagemaker-xgboost")

    @property
    def is_tensorflow_serving(self) -> bool:
        """Whether the image's program serves a SavedModel."""
        return self.repository.startswith("tensorflow-inference")

    @property
    def version(self) -> tuple[int, ...]:
        """The framework's version by the tag: (1, 5) of `1.5-1`; empty when the tag has none."""
        match = re.match(r"(\d+)\.(\d+)", self.tag)
        return tuple(map(int, match.groups())) if match else ()

    @property
    def has_keras_2(self) -> bool:
        """Whether the image's TensorFlow comes with Keras 2; from 2.16 on it is Keras 3."""
        return TENSORFLOW in (self.packages() or ()) and (0,) < self.version < (2, 16)

    def packages(self) -> tuple[tuple[str, str], ...] | None:
        """(module, what to install) of each package that code in the image imports; None for an unknown image."""
        return next((needed for known, needed in PACKAGES if re.fullmatch(known, self.repository)), None)


def xgboost_version(image: Image) -> tuple[int, ...]:
    """The version of XGBoost in an image of AWS's algorithm; the repository `xgboost` has 0.72 alone."""
    return (0, 72) if image.repository == "xgboost" else image.version or (1, 2)


def parse(uri: str) -> Image:
    """An image URI taken apart."""
    name, _, tag = uri.rpartition("/")[2].partition("@")[0].partition(":")
    return Image(uri, name, tag or "latest")


def package_folders(uri: str) -> list[str]:
    """The folders with the packages of AWS's own that code in the image imports, for its PYTHONPATH."""
    image, folder = parse(uri), Path(image_packages.__file__).parent
    # Later PyTorch images have another toolkit.
    has_toolkit = image.packages() == (SKLEARN,) or (image.packages() == (TORCH,) and (0,) < image.version < (1, 3))
    names = ["toolkit", "xgboost"] if image.is_xgboost else ["toolkit"] if has_toolkit else []
    return [str(folder / name) for name in names]


def variables(uri: str) -> dict[str, str]:
    """Variables with which code in the image finds the versions that it had: Keras 2 as tf.keras, if installed.

    https://keras.io/getting_started/#tensorflow--keras-2-backwards-compatibility
    """
    return {"TF_USE_LEGACY_KERAS": "1"} if parse(uri).has_keras_2 and _installed("tf_keras") else {}


def problem(uri: str, *, runs_own_program: bool) -> str:
    """Why an image cannot run here and what to install; empty when it can.

    runs_own_program: the request names no command and no script, so the image's own program would run.
    """
    image = parse(uri)
    if CLOSED.fullmatch(image.repository):
        return f"the image {uri} has a program of its own, which cannot run here without Docker"
    if runs_own_program and not image.is_xgboost:
        return (
            f"the image {uri} would run its own program, which needs Docker; here a ContainerEntrypoint, a script "
            "(the hyperparameters sagemaker_program and sagemaker_submit_directory) or the XGBoost algorithm runs"
        )
    missing = [install for module, install in image.packages() or () if not _installed(module)]
    if missing:
        return f"the image {uri} needs packages that are not installed here. Try: pip install {' '.join(missing)}"
    return ""


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def report(uri: str) -> str:
    """One line for a job's log: the versions that the image's tag asks for, and those that run instead."""
    image = parse(uri)
    packages = image.packages()
    if packages is None:
        return f"the image {uri} is not known; its command runs with the packages of this interpreter"
    asked = VERSION.match(image.tag)
    running = ", ".join(f"{install} {_version(module, install)}" for module, install in packages) or "this interpreter"
    keras = image.has_keras_2 and (" with Keras 2" if variables(uri) else " with Keras 3 (pip install tf-keras for 2)")
    return f"{image.repository} {asked[0] if asked else image.tag} was asked for; {running} runs{keras or ''}"


def explain(uri: str, log_tail: str) -> str:
    """The versions, where a script failed with an error that another version of its framework may explain."""
    return f" ({report(uri)})" if parse(uri).packages() and OTHER_VERSION.search(log_tail) else ""


def _version(module: str, distribution: str) -> str:
    """The version of a package under the name that is installed here or, like torch's, under its module's."""
    for name in (distribution, module):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "of unknown version"
