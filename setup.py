"""Tapline: beers to a served bitterness model, on AWS or on one machine."""

from setuptools import find_packages, setup

setup(
    name="tapline",
    version="0.1.0",
    description="Beers from an API to a registered, approved and served SageMaker model, on AWS or on one machine",
    python_requires=">=3.11",
    packages=find_packages(include=["pipelines*", "localaws*", "console*", "ingestion"]),
    package_data={
        "localaws.startup": ["*.yaml"],
        "console": ["templates/*.html", "static/*"],
        "pipelines.local": ["catalogue/*.json", "catalogue/*.md"],
        "pipelines.records": ["templates/*.html"],
    },
    install_requires=[
        # stepfunctions 2.3.0 (the last release) cannot import sagemaker 3; v2 is supported until 2027-07-06.
        "sagemaker>=2.257,<3",
        "stepfunctions==2.3.0",
        # It imports pkg_resources, which newer ones lack, and environments of Python 3.12 have none at all.
        "setuptools<81",
        "boto3>=1.42",
        "requests>=2.32",
        "pandas>=2.3,<3",
        "pyyaml>=6",
        # The version inside the SageMaker scikit-learn image 1.9-0: what trains here trains there.
        "scikit-learn==1.9.0",
        "rich>=13",
    ],
    extras_require={
        "local": [
            # Private names of this exact release are patched (and checked at start-up); it pins botocore itself.
            "ministack==1.5.33",
            "duckdb==2.0.0",
            "pyarrow==25.0.0",
            "sqlglot>=28",
            "python-jsonpath>=2",
            # Regular expressions with a time limit.
            "regex>=2025.7",
            # HTTP in the model server of a local endpoint, as Flask has it in SageMaker's container.
            "werkzeug>=3.1,<4",
            # The endpoint's HTTP server, with its parser in C.
            "uvicorn>=0.35",
            "httptools>=0.6.4",
        ],
        # The console: pages on 127.0.0.1.
        "console": ["starlette>=1", "uvicorn>=0.35", "jinja2>=3.1"],
        # Coverage-guided fuzzing, by `make fuzz` in an environment of its own.
        "fuzz": ["atheris==3.0.0"],
        # AWS's XGBoost images on the local SageMaker, as an algorithm and in script mode; the build without GPU code.
        "xgboost": ["xgboost-cpu==3.2.0"],
        # A model of another kind to compare with, by `make bench`.
        "bench": ["xgboost-cpu==3.2.0"],
        "dev": [
            # The pipelines of the suite that train with it.
            "xgboost-cpu==3.2.0",
            "pytest>=9",
            # The console's pages in a real browser, and what is hard to use in them.
            "playwright>=1.60",
            "axe-playwright-python>=0.1.7",
            # The suite on all cores, with one local endpoint per worker.
            "pytest-xdist>=3.8",
            "hypothesis>=6.150",
            "ruff>=0.14",
            "mypy>=1.18",
            "cfn-lint>=1.58,<2",
            "awscli>=1.44",
            "pandas-stubs>=2.3,<3",
            "types-pyyaml",
            "types-requests",
            # What the state machines' expressions are checked with; MiniStack evaluates them with the same.
            "jsonata-python>=0.7",
            # The local SageMaker is compared with it, answer by answer; what it does otherwise is this release's.
            "moto==5.2.5",
            # The workflows: GitHub's schema, and what an attacker could do with them. Both work offline.
            "check-jsonschema>=0.39",
            "zizmor>=1.32",
        ],
    },
)
