"""The PubMed client, for real, over loopback against a small server with invented records."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

import retroevidence.loaders.pubmed as module
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.pubmed import PubMed

FULL = """
<PubmedArticle><MedlineCitation>
  <PMID Version="1">101</PMID>
  <Article PubModel="Print">
    <Journal><JournalIssue CitedMedium="Print"><Volume>12</Volume><Issue>3</Issue>
      <PubDate><Year>2003</Year><Month>May</Month></PubDate></JournalIssue>
      <Title>Journal of Invented Gait &amp; Balance</Title></Journal>
    <ArticleTitle>Climbing <i>backward</i>: VO<sub>2</sub> and <b>work at 10<sup>-2</sup></b> grade.
    </ArticleTitle>
    <Pagination><MedlinePgn>45-52</MedlinePgn></Pagination>
    <ELocationID EIdType="doi">10.1000/own</ELocationID>
    <Abstract>
      <AbstractText Label="AIM">To see <i>who</i> climbs.</AbstractText>
      <AbstractText Label="RESULT">Uptake was 12 &#177; 3 (<i>p</i> &lt; 0.05).</AbstractText>
    </Abstract>
    <AuthorList>
      <Author><LastName>Ångström</LastName><ForeName>Eva Li</ForeName><Initials>EL</Initials>
        <AffiliationInfo><Affiliation>Nowhere</Affiliation></AffiliationInfo></Author>
      <Author><CollectiveName>Stairs <i>Study</i> Group</CollectiveName></Author>
      <Author><LastName>Mononym</LastName></Author>
    </AuthorList>
    <PublicationTypeList><PublicationType>Journal Article</PublicationType>
      <PublicationType>Randomized Controlled Trial</PublicationType></PublicationTypeList>
  </Article>
  <CommentsCorrectionsList><CommentsCorrections RefType="Cites"><PMID>999</PMID>
    </CommentsCorrections></CommentsCorrectionsList>
  <OtherAbstract Language="ger"><AbstractText>Wer steigt?</AbstractText></OtherAbstract>
  <InvestigatorList><Investigator><LastName>Helper</LastName></Investigator></InvestigatorList>
</MedlineCitation><PubmedData>
  <ArticleIdList><ArticleId IdType="pubmed">101</ArticleId>
    <ArticleId IdType="doi">10.1000/own</ArticleId><ArticleId IdType="pmc">PMC77</ArticleId>
  </ArticleIdList>
  <ReferenceList><Reference><Citation>Someone else, 1990</Citation><ArticleIdList>
    <ArticleId IdType="pubmed">555</ArticleId><ArticleId IdType="doi">10.1000/other</ArticleId>
    <ArticleId IdType="pmc">PMC55</ArticleId></ArticleIdList></Reference></ReferenceList>
</PubmedData></PubmedArticle>
"""

BARE = """
<PubmedArticle><MedlineCitation><PMID>102</PMID><Article>
  <Journal><JournalIssue><PubDate><MedlineDate>2004 Dec-2005 Jan</MedlineDate></PubDate>
  </JournalIssue></Journal><ArticleTitle/></Article></MedlineCitation></PubmedArticle>
"""

BOOK = """
<PubmedBookArticle><BookDocument><PMID>103</PMID>
  <ArticleIdList><ArticleId IdType="bookaccession">NBK1</ArticleId></ArticleIdList>
  <Book><Publisher><PublisherName>Invented Press</PublisherName></Publisher>
    <BookTitle>All <i>Stairs</i></BookTitle><PubDate><Year>2011</Year></PubDate></Book>
  <AuthorList><Author><LastName>Step</LastName><Initials>A</Initials></Author></AuthorList>
  <PublicationType>Review</PublicationType></BookDocument></PubmedBookArticle>
"""

DOCTYPE = (
    '<?xml version="1.0" ?><!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle//EN" '
    '"https://dtd.example.org/pubmed.dtd">'
)


def articles(*records: str) -> str:
    return f"{DOCTYPE}<PubmedArticleSet>{''.join(records)}</PubmedArticleSet>"


def ids(*found: str) -> str:
    return json.dumps({"esearchresult": {"count": str(len(found)), "idlist": [*found]}})


class Server(ThreadingHTTPServer):
    """Gives the prepared answers in turn and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str] | tuple[int, str, dict[str, str]] | None] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    def handle_error(self, request, client_address):
        """Stay silent about connections that a test breaks on purpose."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append((parts.path, query))
        answer = self.server.answers.pop(0)
        if answer is None:
            self.connection.close()
            return
        status, text, *more = answer
        body = text.encode()
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    # A proxy of the machine must not see loopback, and a test must not wait for real.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.01)
    with Server() as running:
        # The default polls every half second, which each test would wait for at its end.
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(timeout=5)


def client(server: Server, **settings: object) -> PubMed:
    return PubMed(email="me@example.org", base_url=server.url, **settings)


def test_search_then_fetch_reads_every_field(server):
    server.answers = [(200, ids("101", "102")), (200, articles(BARE, FULL))]
    table = client(server).search("stairs AND grip", max_results=5)
    assert table.columns.tolist() == [
        *["pmid", "title", "abstract", "authors", "journal", "year", "volume", "issue"],
        *["pages", "doi", "pmcid", "publication_types"],
    ]
    # In the order of the search, though the server answered in another.
    assert table["pmid"].tolist() == ["101", "102"]
    full = table.iloc[0]
    assert full["title"] == "Climbing backward: VO₂ and work at 10⁻² grade."
    assert full["abstract"] == "AIM: To see who climbs.\nRESULT: Uptake was 12 ± 3 (p < 0.05)."
    assert full["authors"] == "Ångström EL; Stairs Study Group; Mononym"
    assert full["journal"] == "Journal of Invented Gait & Balance"
    assert full[["year", "volume", "issue", "pages"]].tolist() == [2003, "12", "3", "45-52"]
    # The article's own, not those of its reference list.
    assert full[["doi", "pmcid"]].tolist() == ["10.1000/own", "PMC77"]
    assert full["publication_types"] == "Journal Article; Randomized Controlled Trial"

    (path, query), (fetched, asked) = server.asked
    assert path == "/entrez/eutils/esearch.fcgi"
    assert query == {
        **{"tool": "retroevidence", "email": "me@example.org", "db": "pubmed"},
        **{"term": "stairs AND grip", "retmax": "5", "retmode": "json"},
    }
    assert fetched == "/entrez/eutils/efetch.fcgi"
    assert asked["id"] == "101,102"


def test_what_a_record_lacks_is_missing(server, capsys):
    server.answers = [(200, articles(BARE))]
    row = client(server).fetch(102).iloc[0]
    assert row["year"] == 2004
    assert row.drop(["pmid", "year"]).isna().all()
    # pymed prints an error about the date; a library stays silent.
    assert capsys.readouterr().out == ""


def test_a_book(server):
    server.answers = [(200, articles(BOOK))]
    row = client(server).fetch("103").iloc[0]
    assert row[["title", "authors", "journal", "year", "publication_types"]].tolist() == [
        *["All Stairs", "Step A", "Invented Press", 2011, "Review"]
    ]


def test_the_page_range_and_the_doi_from_their_second_place(server):
    record = FULL.replace("<MedlinePgn>45-52</MedlinePgn>", "<StartPage>45</StartPage>")
    record = record.replace('<ArticleId IdType="doi">10.1000/own</ArticleId>', "")
    server.answers = [(200, articles(record))]
    row = client(server).fetch("101").iloc[0]
    assert row[["pages", "doi"]].tolist() == ["45", "10.1000/own"]


def test_ids_in_any_form_once_each_and_an_unknown_one_keeps_its_row(server):
    server.answers = [(200, articles(FULL))] * 2
    table = client(server).fetch(["101", 7, 101])
    assert table["pmid"].tolist() == ["101", "7"]
    assert table.iloc[1].drop("pmid").isna().all()
    again = client(server).fetch(table)
    pd.testing.assert_frame_equal(table, again)


def test_many_ids_go_in_batches(server):
    server.answers = [(200, articles())] * 3
    assert len(client(server).fetch(range(1, 402))) == 401
    assert [query["id"].count(",") + 1 for _, query in server.asked] == [200, 200, 1]


def test_no_id_asks_nothing(server):
    empty = client(server).fetch([])
    assert empty.empty
    assert empty["year"].dtype == "Int64"
    server.answers = [(200, ids())]
    assert client(server).search("nothing like it").empty
    assert len(server.asked) == 1


@pytest.mark.parametrize("failure", [(503, "busy"), (429, "slow", {"Retry-After": "0"}), None])
def test_a_passing_failure_is_asked_again(server, failure):
    server.answers = [failure, (200, articles(FULL))]
    assert client(server).fetch("101").loc[0, "year"] == 2003
    assert len(server.asked) == 2


def test_repeats_are_bounded(server):
    server.answers = [(503, "busy")] * 3
    with pytest.raises(RetroEvidenceError, match="status 503, asked 3 times"):
        client(server, retries=2).fetch("101")
    assert len(server.asked) == 3


def test_a_lasting_failure_is_not_asked_again(server):
    server.answers = [(400, "ID list is empty!")]
    with pytest.raises(RetroEvidenceError, match=r"status 400 .*ID list is empty"):
        client(server).fetch("101")
    assert len(server.asked) == 1


def test_a_silent_server_is_left(server):
    # The connection is taken by the system's queue, but nobody answers it.
    server.shutdown()
    with pytest.raises(RetroEvidenceError, match=r"no answer in 0.1 s, asked 1 times"):
        client(server, timeout=0.1, retries=0).fetch("101")


PAGE = "<html><head><title>Maintenance</title></head><body>Back soon<br></body></html>"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PAGE, "is not JSON"),
        ('{"error": "API rate limit exceeded"}', "holds no list of ids"),
        ('{"esearchresult": {"ERROR": "backend failed"}}', "holds no list of ids"),
        ("[]", "holds no list of ids"),
    ],
)
def test_a_search_answer_of_another_kind(server, answer, says):
    server.answers = [(200, answer)]
    with pytest.raises(RetroEvidenceError, match=says) as caught:
        client(server).search("stairs")
    assert "it begins: " + repr(answer[:5])[:-1] in str(caught.value)


BOMB = '<!DOCTYPE a [<!ENTITY x "boom">]><PubmedArticleSet>&x;</PubmedArticleSet>'


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PAGE, "is not XML"),
        (PAGE.replace("<br>", ""), "holds no records"),
        ("<eFetchResult><ERROR>bad</ERROR></eFetchResult>", "holds no records"),
        (BOMB, "is not XML"),
        ("", "is not XML"),
    ],
)
def test_a_fetch_answer_of_another_kind(server, answer, says):
    server.answers = [(200, answer)]
    with pytest.raises(RetroEvidenceError, match=says):
        client(server).fetch("101")


@pytest.mark.parametrize("one", ["PMC77", "", "12 34", "1&db=gene", None, 1.5])
def test_an_id_that_is_none_is_refused_before_asking(server, one):
    with pytest.raises(RetroEvidenceError, match="is not a PubMed id"):
        client(server).fetch([one])
    assert not server.asked


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_max_results_out_of_range(number):
    with pytest.raises(RetroEvidenceError, match="1 to 10000"):
        PubMed().search("stairs", max_results=number)


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}])
def test_settings_under_which_nothing_ends(settings):
    with pytest.raises(RetroEvidenceError, match="give a timeout above 0"):
        PubMed(**settings)


def test_a_base_url_with_the_path_of_the_tools(server):
    server.answers = [(200, articles(FULL))]
    PubMed(base_url=f"{server.url}/entrez/eutils/").fetch("101")
    path, query = server.asked[0]
    assert path == "/entrez/eutils/efetch.fcgi"
    # No address is made up for a user who gives none.
    assert "email" not in query


def test_ncbi_s_own_server_is_not_asked_faster_than_it_allows(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    ncbi = PubMed()
    ncbi._pause()
    ncbi._pause()
    # The second request comes at once, so nearly the whole pause is left to sleep.
    assert len(slept) == 1
    assert module._PAUSE_S - 0.2 < slept[0] <= module._PAUSE_S
