"""What every search engine of ours must do. A test module subclasses it and provides the fixture `search`, filled with
`DOCUMENTS`: owner → name → text, below `docs`; each was modified when `MODIFIED` says."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.search import Filter, Search

DOCUMENTS = {
    "ann": {
        "leave.md": "# Leave\n\nEmployees receive twenty days of paid holiday each year.",
        "pay.md": "# Pay\n\nSalaries are paid monthly. Overtime is paid twice a year.",
        "parking.txt": "The car park opens at seven. Bicycles are welcome.",
    },
    "bob": {"leave.md": "# Leave\n\nBob alone has a sabbatical of one year, and a holiday."},
    "eve": {
        "ja.md": "# 規程\n\n有給休暇は年間二十日です。保証期間は三年です。サポート窓口へ。Millstreamの説明書。",
        "zh.md": "# 手册\n\n员工每年享有二十天带薪休假。产品的保修期为三年。价格含税。",
        "ko.md": "# 규정\n\n직원의 휴가는 연간 이십 일입니다.",
        "th.md": "# ระเบียบ\n\nพนักงานมีวันหยุดประจำปียี่สิบวันและน้ำดื่ม",
    },
}

MODIFIED = {"leave.md": 1_600_000_000_000, "pay.md": 1_700_000_000_000}
MODIFIED |= dict.fromkeys(("parking.txt", "ja.md", "zh.md", "ko.md", "th.md"), 1_750_000_000_000)


class SearchContract:
    async def test_the_best_passage_comes_first_with_its_place(self, search: Search) -> None:
        best, *_ = await search.search("How many days of holiday do employees get?", owner="ann")
        assert best.title == "Leave"
        assert best.uri.endswith("leave.md")
        assert not best.uri.startswith("/")
        source = DOCUMENTS["ann"]["leave.md"]
        assert (best.start, best.end) == (0, len(source))
        assert best.text == source

    async def test_scores_fall_and_the_limit_holds(self, search: Search) -> None:
        passages = await search.search("paid year holiday car", owner="ann", limit=2)
        assert len(passages) == 2
        scores = [passage.score or 0.0 for passage in passages]
        assert scores == sorted(scores, reverse=True)
        assert await search.search("paid", owner="ann", limit=0) == []

    async def test_an_owner_sees_only_their_documents(self, search: Search) -> None:
        assert {passage.uri for passage in await search.search("sabbatical holiday", owner="bob")} == {"docs/leave.md"}
        assert await search.search("sabbatical", owner="ann") == []
        assert await search.search("holiday", owner="nobody") == []
        counts = [await search.document_count(owner=owner) for owner in ("ann", "bob", "nobody")]
        assert counts == [3, 1, 0]

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            (Filter(), {"leave.md", "pay.md"}),
            (Filter(within=("docs",)), {"leave.md", "pay.md"}),
            (Filter(within=("docs/",)), {"leave.md", "pay.md"}),
            (Filter(within=("docs/pay.md",)), {"pay.md"}),
            (Filter(within=("docs/parking.txt", "docs/leave.md")), {"leave.md"}),
            (Filter(within=("doc",)), set()),
            (Filter(within=("docs/pay",)), set()),
            (Filter(formats=("markdown",)), {"leave.md", "pay.md"}),
            (Filter(formats=("Markdown", "pdf")), {"leave.md", "pay.md"}),
            (Filter(formats=("text",)), set()),
            (Filter(modified_from=MODIFIED["pay.md"]), {"pay.md"}),
            (Filter(modified_before=MODIFIED["pay.md"]), {"leave.md"}),
            (Filter(formats=("markdown",), modified_from=1, modified_before=2), set()),
        ],
    )
    async def test_a_filter_restricts_which_documents_are_searched(
        self, search: Search, where: Filter, found: set[str]
    ) -> None:
        passages = await search.search("paid each year", owner="ann", where=where)
        assert {passage.uri for passage in passages} == {f"docs/{name}" for name in found}

    async def test_a_filter_is_applied_before_the_limit(self, search: Search) -> None:
        best = (await search.search("paid year", owner="ann", limit=1))[0].uri
        (other,) = {"docs/leave.md", "docs/pay.md"} - {best}
        passages = await search.search("paid year", owner="ann", limit=1, where=Filter(within=(other,)))
        assert [passage.uri for passage in passages] == [other]

    async def test_a_filter_opens_nothing_of_another_owner(self, search: Search) -> None:
        assert await search.search("sabbatical", owner="ann", where=Filter(within=("docs/leave.md",))) == []

    async def test_a_filter_names_documents_by_their_ids(self, search: Search) -> None:
        passages = await search.search("paid each year", owner="ann")
        ids = {passage.uri: passage.document_id for passage in passages}
        for uri, document_id in ids.items():
            where = Filter(documents=(document_id, "none"))
            found = await search.search("paid each year", owner="ann", where=where)
            assert {passage.uri for passage in found} == {uri}
        both = Filter(documents=tuple(ids.values()) * 20_000)
        assert len(await search.search("paid each year", owner="ann", where=both)) == len(passages)
        leave = Filter(documents=(ids["docs/leave.md"],))
        assert await search.search("holiday", owner="bob", where=leave) == []

    async def test_documents_are_read_from_their_beginnings_in_turn(self, search: Search) -> None:
        known = [passage for owner in DOCUMENTS for passage in await search.search("paid car holiday", owner=owner)]
        ids = [passage.document_id for passage in known] + ["none"]
        first = await search.beginnings(ids, owner="ann", limit=10)
        assert [passage.uri for passage in first] == ["docs/leave.md", "docs/parking.txt", "docs/pay.md"]
        assert all(passage.text == DOCUMENTS["ann"][passage.uri.removeprefix("docs/")] for passage in first)
        assert all((passage.start, passage.score, passage.coverage) == (0, None, None) for passage in first)
        assert await search.beginnings(ids, owner="ann", limit=2) == first[:2]
        assert await search.beginnings([], owner="ann", limit=2) == []

    async def test_each_half_of_the_search_says_what_it_made_of_a_passage(self, search: Search) -> None:
        passages = await search.search("paid holiday", owner="ann")
        ranks = sorted(passage.lexical.rank for passage in passages if passage.lexical)
        assert ranks == list(range(1, len(ranks) + 1))
        assert all(passage.lexical or passage.semantic for passage in passages)

    async def test_the_scores_of_a_half_fall_with_its_ranks(self, search: Search) -> None:
        passages = await search.search("paid holiday each year", owner="ann", limit=10)
        for half in ("lexical", "semantic"):
            matches = [match for passage in passages if (match := getattr(passage, half))]
            scores = [match.score for match in sorted(matches, key=lambda match: match.rank)]
            assert scores == sorted(scores, reverse=True)

    async def test_inflected_words_are_found(self, search: Search) -> None:
        assert (await search.search("employee holidays", owner="ann"))[0].title == "Leave"

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("休暇", "ja.md"),
            ("年間の休暇は何日ですか？", "ja.md"),
            ("サポート", "ja.md"),
            ("Millstreamの保証", "ja.md"),
            ("保修期", "zh.md"),
            ("产品的保修期是多久？", "zh.md"),
            ("휴가", "ko.md"),
            ("วันหยุด", "th.md"),
            ("น้ำ", "th.md"),
            ("税", "zh.md"),
        ],
    )
    async def test_words_that_no_spaces_part_are_found(self, search: Search, query: str, found: str) -> None:
        best, *_ = await search.search(query, owner="eve")
        assert best.uri == f"docs/{found}"
        assert best.coverage
        assert best.text == DOCUMENTS["eve"][found][best.start : best.end]

    async def test_coverage_tells_a_strong_match_from_a_weak_one(self, search: Search) -> None:
        strong = (await search.search("paid holiday for employees", owner="ann"))[0].coverage
        weak = (await search.search("holiday on the moon of jupiter", owner="ann"))[0].coverage
        assert strong is not None
        assert weak is not None
        assert strong == 1.0
        assert weak < 0.5

    @pytest.mark.parametrize("query", ["", "   ", "?!", "xyzzy"])
    async def test_nothing_is_found_for_nothing(self, search: Search, query: str) -> None:
        assert await search.search(query, owner="ann") == []

    @pytest.mark.parametrize(
        "query",
        [
            '"',
            "holiday AND",
            "NEAR(",
            "text:holiday",
            "holi*",
            "-holiday",
            "a OR",
            "'; DROP TABLE passages",
            "\0holiday",
        ],
    )
    async def test_no_query_is_an_error(self, search: Search, query: str) -> None:
        await search.search(query, owner="ann")

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.text(max_size=60))
    async def test_any_text_may_be_asked(self, search: Search, query: str) -> None:
        assert len(await search.search(query, owner="ann", limit=2)) <= 2

    async def test_many_may_search_at_once_and_any_of_them_may_leave(self, search: Search) -> None:
        searches = [asyncio.create_task(search.search("paid holiday", owner="ann")) for _ in range(30)]
        await asyncio.sleep(0)
        for task in searches[::3]:
            task.cancel()
        results = await asyncio.gather(*searches, return_exceptions=True)
        for i, result in enumerate(results):
            assert isinstance(result, asyncio.CancelledError) if i % 3 == 0 else len(result) == 2  # type: ignore[arg-type]
        assert len(await search.search("paid holiday", owner="ann")) == 2
