"""The demonstration, as far as it is the same for whoever runs it: all recipes at once, shown live."""

import io
from pathlib import Path

from rich.console import Console

from deploy.local.system import System
from services.cli.demo import order_and_follow, orders
from services.cli.live import Lines, Tongue
from services.cli.publish import PublishSettings
from shared.recipes import RECIPES
from tests.support.operator import darkroom
from tests.support.world import World


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


async def test_a_system_that_runs_already_is_shown_without_starting_another(
    world: World, tmp_path: Path
) -> None:
    said = await darkroom(world, "demo", "--running", home=tmp_path)

    assert said.code == 0, said
    written = files_below(tmp_path)
    recipes = sorted(recipe.name for recipe in RECIPES)
    laid = [path[: len(f"demo/{name}")] for path, name in zip(written, recipes, strict=True)]
    assert laid == [f"demo/{name}" for name in recipes]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
