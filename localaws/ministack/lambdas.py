"""Lambda's cold starts: what a function does not import is not imported, and functions can be started ahead."""

from typing import Any

from localaws.clients import REGION
from localaws.ministack.patches import module

ACCOUNT = "000000000000"
INSTALL = "    _ms_install_invoke_depth()\n"
# MiniStack's counter of recursive invocations is a handler of botocore's, which most of a cold start would import.
WITH_BOTOCORE = '''
    import importlib.machinery

    class AfterBotocore:
        """Finds botocore.handlers as always, and lets its import end with the installation of the counter."""

        def find_spec(self, name, path=None, target=None):
            if name != "botocore.handlers":
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None:
                execute = spec.loader.exec_module

                def exec_module(loaded):
                    execute(loaded)
                    # The import system sets the attribute only afterwards.
                    sys.modules["botocore"].handlers = loaded
                    _ms_install_invoke_depth()

                spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, AfterBotocore())
'''


def import_botocore_late() -> None:
    """Let a Python function import botocore when it needs it; MiniStack does before each cold start."""
    runtime = module("core.lambda_runtime")
    runtime._PYTHON_WORKER_SCRIPT = runtime._PYTHON_WORKER_SCRIPT.replace(INSTALL, WITH_BOTOCORE)


def warm(arguments: dict[str, Any]) -> dict[str, Any]:
    """Start the environments of functions, given by name, before they are invoked, as AWS may do by itself.

    An invocation that comes meanwhile waits for the environment.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    runtime, functions = module("core.lambda_runtime"), module("services.lambda_svc")
    started = []
    with module("core.responses").request_scope(ACCOUNT, REGION):
        for name in arguments.get("functions", []):
            function, configuration, _ = functions._get_func_record_for_ref(name)
            if not function or not function.get("code_zip"):
                raise ValueError(f"there is no function {name} with code")
            worker, _ = runtime.acquire_worker(configuration["FunctionName"], configuration, function["code_zip"])
            if worker is not None:
                runtime.release_worker(worker)
                started.append(worker)
    for worker in started:
        runtime.ensure_spawned(worker)
    return {"warm": len(started)}
