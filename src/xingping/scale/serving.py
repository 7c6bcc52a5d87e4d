"""A trained model as a Ray Serve application: replicas of the service of `xingping serve` (extra `ray-serve`).

`application` is what Ray's config file names; examples/serve.yaml is one.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field

from xingping.config import ServeSettings, Settings, Task
from xingping.errors import UsageError

_missing = [name for name in ("grpc", "grpc_reflection", "fastapi", "prometheus_client") if find_spec(name) is None]
if _missing:
    raise UsageError(
        f"Ray Serve needs packages that are not installed ({', '.join(_missing)}); "
        "run: pip install 'xingping[ray-serve]'"
    )

from fastapi import FastAPI  # noqa: E402 - the check comes first

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of Ray's own models
    from ray import serve
    from ray.serve import Application

from xingping.serve import create_app  # noqa: E402

__all__ = ["ServiceSettings", "application"]

HEALTH_SECONDS = 10.0
"""How often a replica is asked whether it is well."""

GRACE_SECONDS = 40.0
"""Time for a replica to finish what it accepted; more than the deadline of a request by default."""


class ServiceSettings(Settings):
    """What an application serves, and its limits."""

    run: Path = Field(description="Model bundle or run directory, where every node sees it.")
    task: Task | None = Field(None, description="Which model of a run directory; classification where there is one.")
    limits: ServeSettings = ServeSettings()


@serve.ingress()
class _RatingService:
    """One replica: the application of `xingping.serve` with a model and a queue of its own."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application once its model is loaded, so that Ray sends no request before.

        Raises
        ------
        RunDirectoryError
            The model cannot be loaded.
        """
        app = create_app(self._settings.run, self._settings.limits, task=self._settings.task)
        app.state.loader.wait()
        return app


def application(arguments: dict[str, Any]) -> Application:
    """Build the application from the arguments in Ray's config file.

    How many replicas there are, and what each may take, is said under `deployments` of that file, by the name
    RatingService.

    Parameters
    ----------
    arguments
        `run`, `task`, and `limits` as `xingping serve` has them; host and port are those of Ray's own proxy.

    Raises
    ------
    SettingsError
        An argument is unknown or out of range.
    """
    settings = ServiceSettings.parse(arguments)
    deployment = serve.deployment(
        name="RatingService",
        ray_actor_options={"num_cpus": 1},
        health_check_period_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=GRACE_SECONDS,
    )(_RatingService)
    return deployment.bind(settings)
