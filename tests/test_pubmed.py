"""What the table says of each form of record; all records are invented.

The real client reads them over loopback from the server in eutils_server.py.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.pubmed.client import PubMed

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, client, article = eutils.clock, eutils.server, eutils.client, eutils.article

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
      <CopyrightInformation>No one.</CopyrightInformation>
    </Abstract>
    <AuthorList>
      <Author><LastName>Ångström</LastName><ForeName>Eva Li</ForeName><Initials>EL</Initials>
        <AffiliationInfo><Affiliation>Nowhere</Affiliation></AffiliationInfo></Author>
      <Author><CollectiveName>Stairs <i>Study</i> Group</CollectiveName></Author>
      <Author><LastName>Mononym</LastName></Author>
    </AuthorList>
    <Language>eng</Language>
    <PublicationTypeList><PublicationType>Journal Article</PublicationType>
      <PublicationType>Randomized Controlled Trial</PublicationType></PublicationTypeList>
  </Article>
  <CommentsCorrectionsList><CommentsCorrections RefType="Cites"><PMID>999</PMID>
    </CommentsCorrections></CommentsCorrectionsList>
  <OtherAbstract Language="ger"><AbstractText>Wer steigt?</AbstractText></OtherAbstract>
  <InvestigatorList><Investigator><LastName>Someone</LastName></Investigator></InvestigatorList>
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
    <BookTitle>All <i>Stairs</i></BookTitle><PubDate><Year>2011</Year></PubDate>
    <AuthorList Type="editors"><Author><LastName>Editor</LastName><Initials>E</Initials></Author>
    </AuthorList></Book>
  <AuthorList Type="authors"><Author><LastName>Step</LastName><Initials>A</Initials></Author>
  </AuthorList>
  <Language>eng</Language>
  <PublicationType>Review</PublicationType>
  <Abstract><AbstractText>Stairs, <sup>and</sup> more.</AbstractText></Abstract>
  <ReferenceList><Reference><Citation>Other</Citation><ArticleIdList>
    <ArticleId IdType="doi">10.1000/other</ArticleId></ArticleIdList></Reference></ReferenceList>
</BookDocument></PubmedBookArticle>
"""

CHAPTER = BOOK.replace("103", "104").replace(
    "</Book>", "</Book><ArticleTitle>The <i>last</i> step</ArticleTitle>"
)


def row(server, record: str) -> pd.Series:
    server.add(record)
    pmid = next(iter(server.records))
    return client(server).fetch(pmid).iloc[0]


def test_search_then_fetch_reads_every_field(server):
    server.add(FULL)
    server.add(BARE, day=eutils.date(2019, 1, 1))
    table = client(server).search("all[sb]", max_results=5)
    assert table.columns.tolist() == [
        *["pmid", "title", "abstract", "authors", "journal", "year", "volume", "issue"],
        *["pages", "doi", "pmcid", "publication_types", "mesh", "languages"],
        *["vernacular_title", "other_abstracts", "retracted", "retraction_links"],
        *["correction_links", "other_links", "state", "fetched"],
    ]
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
    assert full[["languages", "other_abstracts"]].tolist() == ["eng", "[ger] Wer steigt?"]
    assert full[["retracted", "state"]].tolist() == [False, "given"]
    # Cited works are not notices about the article.
    assert full[["retraction_links", "correction_links", "other_links"]].isna().all()

    searched, fetched = server.queries
    assert searched == {
        **{"tool": "retroevidence", "email": "me@example.org", "db": "pubmed"},
        **{"term": "all[sb]", "retmax": "5", "retmode": "json"},
    }
    assert fetched["id"] == "101,102"
    assert [path for _, _, path, _, _ in server.asked] == [
        f"/entrez/eutils/{tool}.fcgi" for tool in ("esearch", "efetch")
    ]


def test_pymed_alone_reads_this_record_wrong(server):
    # What the layer is for: if pymed mends these, the layer can lose them.
    from xml.etree.ElementTree import fromstring

    from pymed.article import PubMedArticle

    read = PubMedArticle(xml_element=fromstring(FULL))
    assert read.title == "Climbing "
    assert read.doi == "10.1000/own\n10.1000/other"
    assert read.pubmed_id == "101\n555"
    assert read.abstract.startswith("To see \nUptake")


def test_what_a_record_lacks_is_missing(server, capsys):
    told = row(server, BARE)
    assert told["year"] == 2004
    given = ["pmid", "year", "retracted", "state", "fetched"]
    assert told.drop(given).isna().all()
    # pymed prints an error about the date; a library stays silent.
    assert capsys.readouterr().out == ""


def test_a_book(server):
    told = row(server, BOOK)
    assert told[["title", "authors", "journal", "year", "publication_types"]].tolist() == [
        *["All Stairs", "Step A", "Invented Press", 2011, "Review"]
    ]
    assert told[["abstract", "languages"]].tolist() == ["Stairs, and more.", "eng"]
    # The doi of its reference list is not its own.
    assert pd.isna(told["doi"])


def test_a_chapter_stands_in_its_book(server):
    told = row(server, CHAPTER)
    assert told[["title", "journal"]].tolist() == ["The last step", "All Stairs"]


def test_a_book_without_authors_has_its_editors(server):
    start, _, rest = BOOK.partition('<AuthorList Type="authors">')
    told = row(server, start + rest.partition("</AuthorList>")[2])
    assert told["authors"] == "Editor E"


def test_the_page_range_and_the_doi_from_their_second_place(server):
    record = FULL.replace("<MedlinePgn>45-52</MedlinePgn>", "<StartPage>45</StartPage>")
    record = record.replace('<ArticleId IdType="doi">10.1000/own</ArticleId>', "")
    assert row(server, record)[["pages", "doi"]].tolist() == ["45", "10.1000/own"]


@pytest.mark.parametrize(
    ("told", "doi"),
    [
        ('EIdType="doi" ValidYN="Y">https://doi.org/10.1000/A', "10.1000/A"),
        ('EIdType="doi" ValidYN="N">10.1000/wrong', None),
        ('EIdType="pii" ValidYN="Y">S0001', None),
    ],
)
def test_the_electronic_location(server, told, doi):
    found = row(server, article(7, inside=f"<ELocationID {told}</ELocationID>"))["doi"]
    assert (None if pd.isna(found) else found) == doi


@pytest.mark.parametrize(
    ("issued", "year"),
    [
        ("<Year>1998</Year>", 1998),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", 1998),
        ("<MedlineDate>Spring 2000</MedlineDate>", 2000),
        ("<MedlineDate>2000-2001</MedlineDate>", 2000),
        ("", 2015),
    ],
)
def test_the_year_of_the_issue_and_else_of_the_electronic_article(server, issued, year):
    on = "<ArticleDate><Year>2015</Year><Month>02</Month></ArticleDate>"
    record = article(7, inside=on).replace("<Year>2001</Year>", issued)
    assert row(server, record)["year"] == year


def test_a_record_without_any_year(server):
    record = article(7).replace("<Year>2001</Year>", "<MedlineDate>n.d.</MedlineDate>")
    assert row(server, record)["year"] is pd.NA


AUTHORS = """<AuthorList CompleteYN="N">
  <Author ValidYN="Y"><LastName>王</LastName><ForeName>小明</ForeName></Author>
  <Author ValidYN="N"><LastName>Mispelt</LastName><Initials>X</Initials></Author>
  <Author ValidYN="Y"><LastName>O’Invented</LastName><Initials>P</Initials><Suffix>Jr</Suffix>
    <Identifier Source="ORCID">0000</Identifier></Author>
  <Author ValidYN="Y"><LastName>Иванова</LastName><Initials>АБ</Initials></Author>
</AuthorList>"""


def test_names_of_all_kinds(server):
    # A name once printed wrong is not an author; a list PubMed cut says so.
    told = row(server, article(7, inside=AUTHORS))
    assert told["authors"] == "王 小明; O’Invented P Jr; Иванова АБ; et al."


MATH = (
    '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:semantics><mml:mrow>\n'
    " <mml:msup><mml:mi>R</mml:mi><mml:mn>2</mml:mn></mml:msup>\n <mml:mo>=</mml:mo>\n"
    " <mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:mfrac>"
    " <mml:msubsup><mml:mi>x</mml:mi><mml:mn>1</mml:mn><mml:mn>3</mml:mn></mml:msubsup>"
    "</mml:mrow><mml:annotation>R^2=\\frac12</mml:annotation></mml:semantics></mml:math>"
)


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("<i>A</i> <b>b<sub>12</sub></b>tail", "A b₁₂tail"),
        ("the 3<sup>rd</sup> of 10<sup>-3</sup>", "the 3rd of 10⁻³"),
        ("<u><i>deep <sup>2</sup></i></u> end", "deep ² end"),
        (f"Fit {MATH} holds", "Fit R²=1/2x₁³ holds"),
        ("a &lt;i&gt; stays", "a <i> stays"),
        ("two\n   lines", "two lines"),
    ],
)
def test_inline_markup_becomes_text_in_title_and_abstract(server, marked, plain):
    abstract = f"<Abstract><AbstractText>{marked}</AbstractText></Abstract>"
    told = row(server, article(7, marked, inside=abstract))
    assert told[["title", "abstract"]].tolist() == [plain, plain]


def test_a_structured_abstract_keeps_its_labels(server):
    parts = (
        '<AbstractText Label="METHODS" NlmCategory="METHODS">We <i>looked</i>.</AbstractText>'
        '<AbstractText Label="UNLABELLED">In between.</AbstractText>'
        '<AbstractText Label="EMPTY"/>'
        "<AbstractText>No label.</AbstractText>"
    )
    told = row(server, article(7, inside=f"<Abstract>{parts}</Abstract>"))
    assert told["abstract"] == "METHODS: We looked.\nIn between.\nNo label."


def test_titles_and_abstracts_in_other_languages(server):
    inside = "<Language>ger</Language><Language>eng</Language>"
    inside += "<VernacularTitle>Rückwärts <i>gehen</i>.</VernacularTitle>"
    after = (
        '<OtherAbstract Type="Publisher" Language="ger"><AbstractText Label="ZIEL">Sehen.'
        "</AbstractText><AbstractText>Ende.</AbstractText></OtherAbstract>"
        '<OtherAbstract Type="plain-language-summary" Language="eng"><AbstractText>Simply.'
        "</AbstractText></OtherAbstract>"
    )
    record = article(7, "[Walking backward].", inside, after)
    told = row(server, record)
    assert told[["title", "vernacular_title"]].tolist() == [
        *["[Walking backward].", "Rückwärts gehen."]
    ]
    assert told["languages"] == "ger; eng"
    assert pd.isna(told["abstract"])
    assert told["other_abstracts"] == (
        "[ger, Publisher] ZIEL: Sehen.\nEnde.\n\n[eng, plain-language-summary] Simply."
    )


def test_a_title_that_was_never_translated(server):
    inside = "<VernacularTitle>Rückwärts.</VernacularTitle>"
    assert row(server, article(7, "[Not Available].", inside))["title"] == "Rückwärts."


def test_mesh_headings(server):
    after = """<MeshHeadingList>
      <MeshHeading><DescriptorName UI="D1" MajorTopicYN="N">Walking</DescriptorName>
        <QualifierName UI="Q1" MajorTopicYN="Y">physiology</QualifierName>
        <QualifierName UI="Q2" MajorTopicYN="N">methods</QualifierName></MeshHeading>
      <MeshHeading><DescriptorName UI="D2" MajorTopicYN="Y">Gait</DescriptorName></MeshHeading>
    </MeshHeadingList>"""
    assert row(server, article(7, after=after))["mesh"] == "Walking/physiology*/methods; Gait*"


def notice(kind: str, inside: str) -> str:
    return (
        f'<CommentsCorrectionsList><CommentsCorrections RefType="{kind}">{inside}'
        "</CommentsCorrections></CommentsCorrectionsList>"
    )


@pytest.mark.parametrize(
    ("kind", "column", "retracted"),
    [
        ("RetractionIn", "retraction_links", True),
        ("RetractedandRepublishedIn", "retraction_links", True),
        # The notice itself is not retracted.
        ("RetractionOf", "retraction_links", False),
        ("ErratumIn", "correction_links", False),
        ("ExpressionOfConcernIn", "correction_links", False),
        ("UpdateIn", "correction_links", False),
        ("CommentIn", "other_links", False),
    ],
)
def test_notices_about_a_record(server, kind, column, retracted):
    inside = "<RefSource>J Gait. 2020;1(2):3</RefSource><PMID>8</PMID><Note>Name</Note>"
    told = row(server, article(7, after=notice(kind, inside)))
    assert told[column] == f"{kind} 8: J Gait. 2020;1(2):3 [Name]"
    assert told["retracted"] == retracted
    others = {"retraction_links", "correction_links", "other_links"} - {column}
    assert told[sorted(others)].isna().all()


def test_a_notice_without_id_and_a_publication_type_that_says_it(server):
    after = notice("RetractionIn", "<RefSource>J Gait. 2020</RefSource>")
    kind = "<PublicationTypeList><PublicationType>Retracted Publication</PublicationType>"
    server.add(article(7, after=after), article(8, inside=f"{kind}</PublicationTypeList>"))
    table = client(server).fetch([7, 8])
    assert table["retraction_links"].iloc[0] == "RetractionIn: J Gait. 2020"
    assert table["retracted"].tolist() == [True, True]


def test_the_last_version_of_a_record_counts(server):
    second = article(7, "Second.").replace('Version="1"', 'Version="2"')
    server.faults = [eutils.Fault(body=eutils.record_set(second, article(7, "First.")))]
    assert client(server).fetch(7)["title"].tolist() == ["Second."]


def test_ids_in_any_form_once_each(server):
    server.add(article(101), article(7))
    table = client(server).fetch(["101", 7, 101, " 007 "])
    assert table["pmid"].tolist() == ["101", "7"]
    again = client(server).fetch(table)
    pd.testing.assert_frame_equal(table.drop(columns="fetched"), again.drop(columns="fetched"))


def test_a_table_without_ids_is_refused():
    with pytest.raises(RetroEvidenceError, match="no column of the table is called 'pmid'"):
        PubMed().fetch(pd.DataFrame({"id": ["1"]}))


@pytest.mark.parametrize("one", ["PMC77", "", "12 34", "1&db=gene", None, 1.5, "0", True, "١٢"])
def test_an_id_that_is_none_is_refused_before_asking(server, one):
    with pytest.raises(RetroEvidenceError, match="is not a PubMed id"):
        client(server).fetch([one])
    assert not server.asked


def test_no_id_asks_nothing(server):
    empty = client(server).fetch([])
    assert empty.empty
    assert empty.dtypes.astype(str)[["year", "retracted"]].tolist() == ["Int64", "boolean"]
    assert client(server).search("nothing").empty
    assert len(server.asked) == 1
