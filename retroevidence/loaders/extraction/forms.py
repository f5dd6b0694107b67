"""How results are printed: the forms, as regular expressions on plain text.

Groups: m the estimate, s its spread, lo and hi limits, u the unit, v a p or a test, x of n people.
"""

from __future__ import annotations

import re

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d.])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = rf"(?:(?<![\w.])[-+] ?)?(?<![A-Za-z\d.])(?:{_DIGITS})"
_SPREAD = rf"(?:{_DIGITS})"
_UNIT = (
    r"(?:° ?C?|%(?: ?(?:MVI?C|VO2 ?max|HR ?max|of stance|points))?|percentage points|percent|"
    r"m/s2|m/s|m s-1|m\.s-1|m/min|km/h|cm2|cm|mm2|mm ?Hg|mm|m|k?cal(?:/min)?|kJ|J/kg/m|"
    r"m[Ll] ?[/·.]? ?kg(?:-1)? ?[/·.]? ?min(?:-1)?|L/min|mL|ml|mg/d[Ll]|mg/L|mg|"
    r"mmol/(?:L|l|mol)|pg/m[Ll]|ng/m[Ll]|g/d[Ll]|kg/m2|kg|Nm/kg|N[ ·]?m|N/kg|N|BW|bpm|"
    r"beats/min|beats per minute|W/kg|W|degrees?|deg|points?|seconds?|secs?|ms|s|minutes?|min|"
    r"hours?|h|days?|weeks?|months?|steps(?:/min|/day)?|METs?|units?)(?![A-Za-z\d])"
)
# "95 % CI" is a level, never an estimate.
_VALUE = (
    rf"(?P<m>{_NUMBER})(?![\d.]*\d ?%[- ]*C|[\d.]* ?%[- ]*(?:CI|C\.I|[Cc]onf|[Cc]red|CrI))"
    rf" ?(?P<u>{_UNIT})?"
)
_TO = r" ?(?:to|-|,|;|and|/) ?"
LEVEL = (
    r"(?:(?P<level>\d{2}(?:\.\d)?) ?%[- ]*)?"
    r"(?:CI|C\.I\.|confidence intervals?|CrI|credible intervals?|confidence limits?)"
    r"(?: ?\[CI\])?(?: ?\d{2} ?%)?"
)
_LIMITS = (
    rf" ?[:=,;]? ?[(\[]? ?(?:from )?(?P<lo>{_NUMBER}) ?(?:{_UNIT})?{_TO}(?P<hi>{_NUMBER})"
    rf" ?(?:{_UNIT})?"
)
_P_VALUE = (
    r"(?P<v>\d+(?:\.\d+)? ?[x×] ?10 ?\^?-\d+|(?:0|1)?[.,]\d+|"
    r"\d(?:\.\d+)?[eE]-\d+|1(?:\.0+)?|0)(?![\d%eE])"
)

P = re.compile(
    r"(?<![A-Za-z])[Pp](?:s|'s)?(?: ?-? ?values?)?(?: for (?:trend|interaction))? ?"
    rf"(?P<op>[=<>≤≥]=?|: |less than|greater than|of (?=[0.])|was (?=[0.])) ?{_P_VALUE}"
)
INTERVAL = re.compile(rf"{_VALUE} ?[,;(\[]? ?[(\[]? ?{LEVEL}{_LIMITS}")
BARE_INTERVAL = re.compile(
    rf"{_VALUE} ?[,;(\[]? ?[(\[]? ?(?P<lo>{_NUMBER}) ?(?:{_UNIT})? ?(?:to|-) ?(?P<hi>{_NUMBER})"
)
PLUS_MINUS = re.compile(rf"{_VALUE} ?\(? ?(?:±|\+ ?/ ?-|\+-) ?(?P<s>{_SPREAD}) ?(?P<u2>{_UNIT})?")
NAMED_SPREAD = re.compile(
    rf"{_VALUE} ?[,;(\[]+ ?(?P<form>SDs?|S\.D\.|standard deviations?|SEM?|S\.E\.(?:M\.)?|"
    rf"standard errors?(?: of the mean)?) ?[:=,]? ?(?:of )?(?P<s>{_SPREAD}) ?(?:{_UNIT})?[)\]]?"
)
LEVEL_FIRST = re.compile(
    rf"{LEVEL} ?\)?,? ?[=:]? ?{_VALUE} ?[(\[](?P<lo>{_NUMBER}){_TO}(?P<hi>{_NUMBER})[)\]]"
    rf" ?(?P<u2>{_UNIT})?"
)
QUARTILES = re.compile(
    rf"{_VALUE} ?[,;(\[]+ ?(?:IQR|interquartile range|Q1 ?[-,] ?Q3|quartiles) ?[:=,]? ?"
    rf"(?P<lo>{_NUMBER}){_TO}(?P<hi>{_NUMBER}) ?(?:{_UNIT})?[)\]]?"
)
RANGE = re.compile(
    rf"{_VALUE} ?[(\[](?P<lo>{_NUMBER}) ?(?:-|to|,|;) ?(?P<hi>{_NUMBER})[)\]] ?(?P<u2>{_UNIT})?"
)
IN_BRACKETS = re.compile(rf"{_VALUE} ?[(\[](?P<s>{_SPREAD})[)\]] ?(?P<u2>{_UNIT})?")
EVENTS = re.compile(
    r"(?<![\d./-])(?P<x>\d+)(?: ?/ ?| (?:out )?of )(?:the )?(?P<n>\d+)(?![\d./]| ?mm ?Hg)"
    r"(?: (?:patients|participants|people|women|men|children|subjects|eyes|knees))?"
    r"(?: ?[(\[]\d+(?:\.\d+)? ?%[)\]])?"
)
COUNTED = re.compile(
    r"(?<![\d.,-])(?P<x>\d+) ?[(\[](?P<share>\d+(?:\.\d+)?) ?%[)\]]"
    r"(?: (?:out )?of (?:the )?(?P<n>\d+)(?: (?:patients|participants|people|women|men))?)?"
)
TEST = re.compile(
    r"(?<![A-Za-z])(?P<kind>[FtZz]|χ ?\^?[2²]|[Cc]hi-?squared?|X2) ?"
    rf"(?:[(\[] ?(?P<df>[^()\[\]]{{1,30}}?) ?[)\]]|_?\d+(?:,\d+)?)? ?= ?(?P<v>{_NUMBER})"
)
SIZE = re.compile(
    rf"\b(?P<name>Cohen's d|Hedges'? ?g|SMD|ES|effect size|[dg]) ?(?:=|of|was|:) ?(?P<m>{_NUMBER})"
)
N = re.compile(r"(?<![A-Za-z])[nN] ?= ?(?P<n>\d+)(?![\d.]|,\d)")
GROUPS_OF = re.compile(
    r"(?:two|three|four|2|3|4)(?: equal)? groups?(?: of| \(n ?= ?)(?: about)? ?(?P<n>\d+)"
    r"|(?P<m>\d+)(?: \w+)? (?:per|in each|in either) (?:group|arm)"
)
ASSIGNED = re.compile(
    r"(?<![\d.,%-])(?<!of )(?P<n>\d+)"
    r"(?: (?:patients|participants|people|women|men|children|subjects|adults))?"
    r" (?:(?:were |was )?(?:assigned|allocated|randomi[sz]ed) (?=to )|received (?=the |an? )|"
    r"in (?=the |an? )|(?=to (?:the )?(?:\w+ ){0,2}(?:group|arm|placebo|control|sham)\b))"
)
PERCENT = re.compile(rf"(?P<m>{_NUMBER}) ?(?:%|percent\b|per cent\b)(?! ?(?:CI|conf|power|cred))")
PAIR = re.compile(
    rf"(?P<m>{_NUMBER}) ?(?P<u>{_UNIT})?(?= ?,? (?:vs\.?|versus) (?:{_NUMBER}))"
    rf"|(?:(?<=versus )|(?<=vs )|(?<=vs\. ))(?P<m2>{_NUMBER}) ?(?P<u2>{_UNIT})?"
    rf"|(?<=[A-Za-z]: )(?P<m3>{_NUMBER}) ?(?P<u3>{_UNIT})(?= ?[;,)])"
)
MEAN = re.compile(
    rf"\b(?:was|were|averaged|of|reached) (?P<m>{_NUMBER}) ?(?P<u>{_UNIT})?"
    r"(?= (?:in|during|for|with|after|at|when)\b)"
    rf"|\b(?:and|vs\.?|versus) (?P<m2>{_NUMBER}) ?(?P<u2>{_UNIT})(?= (?:in|during|for|with|when)\b)"
)

_FIGURE = (
    rf"{_NUMBER}(?: ?{_UNIT})?(?: ?(?:±|\+/-|[(\[,]|to|-) ?(?:SD|IQR|range)? ?[:=]? ?{_SPREAD}"
    rf"(?: ?(?:-|to) ?{_SPREAD})? ?[)\]]?)?(?: ?(?:years?|yrs?|y|{_UNIT}))?"
)

#: Text whose numbers are no results of the study.
TRAPS = re.compile(
    r"\b(?:age[ds]?|BMI|body mass index|height|stature)\b"
    r"(?: ?[:=,(\[]| was| were| of| ranged?| mean| median| between| from| \(SD\)| in years|"
    r" ?(?:\+/-|±) ?SD,?)* ?"
    rf"{_FIGURE}"
    rf"|\({_NUMBER} ?(?:±|to|-) ?{_SPREAD} ?(?:years?|yrs?|yo?)\)"
    rf"|{_NUMBER}(?: ?(?:±|to|-) ?{_SPREAD})?[ -]?(?:years?|yrs?|y)[- ](?:old|of age)\b"
    rf"|{_NUMBER} ?(?:±|\(|to|-) ?{_SPREAD}\)? ?(?:years?|yrs?|y)\b"
    r"|\b(?:significan(?:ce|t)|alpha)\b[^.;]{0,60}?"
    r"\b(?:set|accepted|defined|considered|established|fixed|regarded|level|threshold)\b"
    r"[^.;]{0,40}?[=<>≤≥]? ?0?\.\d+"
    rf"|{_NUMBER} ?% (?:power|confidence|CIs?\b)(?= (?:intervals? )?(?:were|was|to|and))"
    r"|\b(?:at|of) (?:a |an )?\d+(?:\.\d+)? ?% (?:of (?:maxim|peak|1RM|one|VO2|their|body)|slope|"
    r"grade|inclin|gradient)[a-z]*"
    r"|\b(?:adherence|compliance|attendance|retention|completion)\b[^.;]{0,30}?"
    rf"{_NUMBER} ?%"
    r"|\b(?:19|20)\d\d(?: ?(?:-|to|and) ?(?:19|20)\d\d)?\b(?! ?(?:±|s\b|m\b|\())"
    r"|\bNCT\d+"
    rf"|{_NUMBER} ?m?g(?:/kg| (?:once|twice|daily|per|/))"
    r"|\b\d+ ?(?:to|-) ?\d+ (?:sessions|times|min|minutes|weeks|days)\b"
    r"|η ?p?\^?[2²]? ?[=<>] ?0?\.\d+|\b(?:partial )?eta squared ?= ?0?\.\d+"
    r"|\br[2²]? ?= ?-?0?\.\d+|\bI[2²] ?= ?\d+(?:\.\d+)? ?%"
    r"|\d+(?:\.\d+)? ?%(?: to \d+(?:\.\d+)? ?%)? (?:of (?:the )?)?(?:\w+ )?"
    r"(?:were )?(?:women|men|female|male)\b",
    re.I,
)
