"""Every page that there is: its path, who may see it, and what shows it."""

from services.api.pages.job import OneJob
from services.api.pages.jobs import Jobs
from services.api.pages.login import Login
from services.api.pages.overview import Home
from services.api.pages.parked import Parking
from services.api.pages.recipes import Recipes
from services.api.pages.visit import At
from shared.domain.token import Scope

RECIPE = "/recipes/{name}"
CANCEL, RETRY = "/jobs/{job_id}/cancel", "/jobs/{job_id}/retry"
REPLAY, DISCARD = "/parked/replay", "/parked/discard"


def table(
    *, home: Home, to_order: Recipes, jobs: Jobs, job: OneJob, parking: Parking, login: Login
) -> tuple[At, ...]:
    """What is not said otherwise is a GET and wants ``read``. What does something asks first, on a
    page of the same path."""
    write, operate = Scope.WRITE, Scope.OPERATE
    return (
        At(name="overview", path="/", show=home.show),
        At(name="recipes", path="/recipes", show=to_order.show_all),
        At(name="recipe", path=RECIPE, show=to_order.show),
        At(name="order", path=RECIPE, method="POST", show=to_order.order, scope=write, files=True),
        At(name="jobs", path="/jobs", show=jobs.show),
        At(name="job", path="/jobs/{job_id}", show=job.show),
        At(name="sure_cancel", path=CANCEL, show=job.sure_to_cancel, scope=write),
        At(name="cancel", path=CANCEL, method="POST", show=job.cancel, scope=write),
        At(name="sure_retry", path=RETRY, show=job.sure_to_retry, scope=write),
        At(name="retry", path=RETRY, method="POST", show=job.retry, scope=write),
        At(name="parked", path="/parked", show=parking.show, scope=operate),
        At(name="sure_replay", path=REPLAY, show=parking.sure_to_replay, scope=operate),
        At(name="replay", path=REPLAY, method="POST", show=parking.replay, scope=operate),
        At(name="sure_discard", path=DISCARD, show=parking.sure_to_discard, scope=operate),
        At(name="discard", path=DISCARD, method="POST", show=parking.discard, scope=operate),
        At(name="parked_one", path="/parked/{message_id}", show=parking.story, scope=operate),
        At(name="login", path="/login", show=login.show, scope=None),
        At(name="enter", path="/login", method="POST", show=login.enter, scope=None),
        At(name="leave", path="/logout", method="POST", show=login.leave, scope=None),
    )
