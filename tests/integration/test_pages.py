"""What stands around every page: who is let in, in which language, and what a form has to be."""

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.db import tokens
from shared.domain.token import Scope, kept, word_of
from tests.support.front_end import FrontEnd, Heard
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


async def a_token(api: Api, scope: Scope = Scope.OPERATE, *, name: str = "kim") -> str:
    word = word_of(uuid4().bytes + uuid4().bytes)
    async with api.database.transaction() as tx:
        assert await tokens.create(tx, name=name, sha256=kept(word), scope=scope)

    async def is_shut() -> bool:
        return (await api.front.get("/v1/jobs")).status == 401

    await eventually("strangers are out", is_shut)
    return word


async def log_in(front: FrontEnd, word: str, *, there: str = "/jobs", **headers: str) -> Heard:
    return await front.ask(
        "POST",
        "/login",
        data={"token": word, "next": there},
        headers={"Sec-Fetch-Site": "same-origin", **headers},
    )


def cookie_of(heard: Heard) -> str:
    [(name, morsel)] = SimpleCookie(heard.headers["Set-Cookie"]).items()
    return f"{name}={morsel.value}"


def _leads(heard: Heard, *, to: str) -> bool:
    return f'href="{to}"' in heard.body or f'action="{to}"' in heard.body


class TestLoggingIn:
    async def test_who_is_nobody_is_asked_for_a_token_and_comes_back_to_the_page(
        self, api: Api
    ) -> None:
        word = await a_token(api)

        sent = await api.front.get("/jobs", state="failed")
        entered = await log_in(api.front, word, there="/jobs?state=failed")
        shown = await api.front.with_headers(Cookie=cookie_of(entered)).get("/jobs")

        assert (sent.status, sent.headers["Location"]) == (
            303,
            "/login?next=%2Fjobs%3Fstate%3Dfailed",
        )
        assert entered.status == 303
        assert entered.headers["Location"] == "/jobs?state=failed&said=said.logged_in"
        assert shown.status == 200
        assert "kim" in shown.body

    async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, api: Api) -> None:
        word = await a_token(api)

        plain = (await log_in(api.front, word)).headers["Set-Cookie"]
        behind = await log_in(api.front, word, **{"X-Forwarded-Proto": "https"})

        assert "HttpOnly" in plain
        assert "SameSite=Lax" in plain
        assert "Secure" not in plain
        assert "Secure" in behind.headers["Set-Cookie"]
        assert word not in plain

    async def test_a_wrong_token_is_told_and_opens_nothing(self, api: Api) -> None:
        await a_token(api)

        for word in ("dk_" + "x" * 43, "", "hunter2"):
            heard = await log_in(api.front, word)

            assert heard.status == 403
            assert "opens nothing" in heard.body
            assert "Set-Cookie" not in heard.headers

    @pytest.mark.parametrize(
        "there", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/a\nb", ""]
    )
    async def test_nobody_is_sent_on_to_another_site(self, api: Api, there: str) -> None:
        entered = await log_in(api.front, await a_token(api), there=there)

        assert entered.headers["Location"] == "/?said=said.logged_in"

    async def test_a_token_that_is_revoked_takes_its_visits_with_it(self, api: Api) -> None:
        entered = await log_in(api.front, await a_token(api))
        visitor = api.front.with_headers(Cookie=cookie_of(entered))
        assert (await visitor.get("/jobs")).status == 200
        async with api.database.transaction() as tx:
            await tokens.revoke(tx, "kim")

        async def is_out() -> bool:
            return (await visitor.get("/jobs")).status == 303

        await eventually("the visit is over", is_out)

    async def test_a_cookie_that_somebody_made_opens_nothing(self, api: Api) -> None:
        await a_token(api)

        for cookie in ("x", "9999999999.AAAA.kim", "..", "9999999999..kim"):
            visitor = api.front.with_headers(Cookie=f"darkroom_session={cookie}")
            assert (await visitor.get("/jobs")).status == 303

    async def test_leaving_takes_the_cookie_back(self, api: Api) -> None:
        entered = await log_in(api.front, await a_token(api))
        visitor = api.front.with_headers(Cookie=cookie_of(entered), Sec_Fetch_Site="same-origin")

        left = await visitor.ask("POST", "/logout", data={})

        assert left.headers["Location"] == "/login?said=said.logged_out"
        assert cookie_of(left) == "darkroom_session="

    async def test_where_no_token_is_set_this_machine_is_served_and_nobody_else(
        self, api: Api
    ) -> None:
        near = await api.front.get("/jobs")
        far = await api.front.with_headers(X_Forwarded_For="203.0.113.9").get("/jobs")

        assert near.status == 200
        assert "No token is set" in near.body
        assert far.status == 403


class TestForms:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {},
        ],
    )
    async def test_one_of_another_site_is_refused(self, api: Api, headers: dict[str, str]) -> None:
        heard = await api.front.ask("POST", "/login", data={"token": "x"}, headers=headers)

        assert heard.status == 403
        assert "Nothing was done" in heard.body

    async def test_one_that_names_our_own_place_is_read(self, api: Api) -> None:
        heard = await api.front.ask(
            "POST", "/login", data={"token": await a_token(api)}, headers={"Origin": api.front.url}
        )

        assert heard.status == 303

    @pytest.mark.parametrize("body", ["a=1&a=2", "a=%00", "a" * 20_000, "\xff".encode("latin-1")])
    async def test_one_that_cannot_be_read_is_refused(self, api: Api, body: str | bytes) -> None:
        heard = await api.front.ask(
            "POST",
            "/login",
            data=body,
            headers={
                "Sec-Fetch-Site": "same-origin",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )

        assert heard.status in (413, 422)


class TestAround:
    async def test_each_is_read_in_the_language_that_was_asked_for(self, api: Api) -> None:
        browser = await api.front.with_headers(Accept_Language="ko-KR,ko;q=0.9,en;q=0.5").get(
            "/login"
        )
        chosen = await api.front.get("/login", lang="ko")
        kept_choice = await api.front.with_headers(Cookie=cookie_of(chosen)).get("/login")
        neither = await api.front.with_headers(Accept_Language="fr").get("/login")

        for heard in (browser, chosen, kept_choice):
            assert '<html lang="ko">' in heard.body
            assert "로그인" in heard.body
        assert '<html lang="en">' in neither.body

    async def test_nothing_but_our_own_files_may_run_or_be_shown(self, api: Api) -> None:
        for path in ("/login", "/nowhere"):
            headers = (await api.front.get(path)).headers

            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["Cache-Control"] == "no-store"

    async def test_a_page_that_is_nowhere_says_so_and_the_api_keeps_its_own_words(
        self, api: Api
    ) -> None:
        page = await api.front.get("/nowhere/at/all")
        problem = await api.front.get("/v1/nowhere")

        assert (page.status, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (problem.status, problem.code) == (404, "unknown_path")

    async def test_a_page_of_trouble_leads_to_what_whoever_looks_may_see_and_out(
        self, api: Api
    ) -> None:
        entered = await log_in(api.front, await a_token(api, Scope.READ))
        reader = api.front.with_headers(Cookie=cookie_of(entered))
        operator = api.front.with_headers(
            Cookie=cookie_of(await log_in(api.front, await a_token(api, name="lee")))
        )

        nobody = await api.front.get("/nowhere")
        refused = await reader.get("/parked")
        lost = await operator.get("/nowhere")

        assert [heard.status for heard in (nobody, refused, lost)] == [404, 403, 404]
        assert [_leads(heard, to="/parked") for heard in (nobody, refused, lost)] == [
            False,
            False,
            True,
        ]
        assert [_leads(heard, to="/logout") for heard in (nobody, refused, lost)] == [
            False,
            True,
            True,
        ]

    async def test_who_has_to_log_in_is_not_led_to_what_operators_see(self, api: Api) -> None:
        await a_token(api)

        assert not _leads(await api.front.get("/login"), to="/parked")

    async def test_a_sentence_is_shown_only_if_it_is_one_of_ours(self, api: Api) -> None:
        ours = await api.front.get("/login", said="said.logged_out")
        theirs = await api.front.get("/login", said="Call 0800-evil")

        assert "You are logged out." in ours.body
        assert "evil" not in theirs.body.partition("<main")[2]

    async def test_what_stands_beside_pages_is_kept_by_browsers_as_long_as_it_is_the_same(
        self, api: Api
    ) -> None:
        style = await api.front.get("/static/site.css")
        outside = await api.front.get("/static/..%2Fsite.py")

        assert "immutable" in style.headers["Cache-Control"]
        assert style.headers["Content-Type"] == "text/css; charset=utf-8"
        assert outside.status == 404
