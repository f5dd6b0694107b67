# Writes matched.json, in the working directory: metafor's measures of matched pairs on made-up but
# nasty tables. Run: Rscript matched.R   (Debian r-cran-metafor 3.8-1-1, R 4.2.2.) Seed and
# generators are fixed, so the file is the same on every run. metafor adds 1/2 wherever one of the
# four kinds of pairs is 0, ours where the measure needs it: so "plain" has no zero, "none" adds
# nothing and "all" adds 1/2 everywhere. "margins" is its measure MPORM, from the table of margins.
suppressMessages(library(metafor))
set.seed(20260922, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
k <- 25
pairs <- data.frame(a = sample(0:30, k, TRUE), b = sample(0:12, k, TRUE),
                    c = sample(0:12, k, TRUE), d = sample(0:60, k, TRUE))
pairs[1, ] <- c(0, 3, 1, 36); pairs[2, ] <- c(9, 0, 0, 11); pairs[3, ] <- c(0, 0, 0, 12)
pairs[4, ] <- c(0, 6, 0, 0); pairs[5, ] <- c(1e6, 7, 3, 2e6); pairs[6, ] <- c(1, 1e5, 2e5, 1)
pairs[7, ] <- c(7, 0, 0, 0); pairs[8, ] <- c(0, 0, 5, 9)
plain <- pairs[apply(pairs > 0, 1, all), ]
effect <- function(measure, table, ...) {
  e <- suppressWarnings(escalc(measure, ai = a, bi = b, ci = c, di = d, data = table, ...))
  list(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
}
measures <- c("MPRD", "MPRR", "MPOR", "MPORC", "MPPETO")
every <- function(table, ...) sapply(measures, effect, table, ..., simplify = FALSE)
margins <- with(plain, data.frame(x1 = a + b, x2 = a + c, n = a + b + c + d))
margins$r <- with(plain, (a * d - b * c) / sqrt((a + b) * (c + d) * (a + c) * (b + d)))
m <- with(margins, escalc("MPORM", ai = x1, bi = n - x1, ci = x2, di = n - x2, ri = r))
out <- list(
  versions = list(metafor = as.character(packageVersion("metafor")), R = R.version.string),
  inputs = list(pairs = pairs, plain = plain, margins = margins),
  plain = every(plain), none = every(pairs, add = 0, to = "none"), all = every(pairs, to = "all"),
  margins = list(MPOR = list(yi = as.numeric(m$yi), vi = as.numeric(m$vi))))
writeLines(jsonlite::toJSON(out, dataframe = "columns", digits = NA, na = "null", auto_unbox = TRUE,
                            pretty = TRUE), "matched.json")
