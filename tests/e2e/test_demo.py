"""The demonstration, as far as it is the same for whoever runs it: all recipes at once, shown live."""

import io

from rich.console import Console

from deploy.local.system import System
from services.cli.demo import order_and_follow, orders
from services.cli.live import Lines, Tongue
from services.cli.publish import PublishSettings
from shared.recipes import RECIPES


def settings_of(system: System) -> PublishSettings:
    named = {name.lower(): value for name, value in system.layout.environment().items()}
    return PublishSettings.model_validate(named)


async def test_one_of_every_recipe_ordered_at_once_ends_with_a_report(system: System) -> None:
    out = io.StringIO()
    placed = orders(None, Tongue.KO)

    done = await order_and_follow(
        settings_of(system), placed, Lines(Console(file=out, width=200), Tongue.KO)
    )

    ended = {view.job.recipe: (view.job.state, view.live.report) for view in done.views.values()}
    assert ended == {recipe.name: ("completed", "published") for recipe in RECIPES}, out.getvalue()
    assert set(done.seconds) == {each.job_id for each in placed}
    assert out.getvalue().count("보고서도 준비되었습니다.") == len(RECIPES)
