# Writes the published data sets behind acceptance.json as CSV, in the working directory.
# Data sets: R package metadat 1.2-0 (Debian r-cran-metadat 1.2-0-2). Run: Rscript export.R
library(metadat)
keep <- function(name, columns) {
  dat <- get(name)
  write.csv(as.data.frame(dat)[columns], paste0(sub("dat.", "", name, fixed = TRUE), ".csv"),
            row.names = FALSE, na = "", quote = FALSE)
}
keep("dat.normand1999", c("study", "n1i", "m1i", "sd1i", "n2i", "m2i", "sd2i"))
keep("dat.raudenbush1985", c("study", "year", "weeks", "yi", "vi"))
keep("dat.collins1985b", c("id", "pre.nti", "pre.nci", "pre.xti", "pre.xci"))
keep("dat.linde2005", c("id", "group", "ai", "n1i", "ci", "n2i"))
keep("dat.curtis1998", c("id", "m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i"))
keep("dat.mcdaniel1994", c("study", "ni", "ri"))

# Closed forms that acceptance.json does not cover, and fits at the edge (tau² = 0, k = 2 and 3),
# from metafor 3.8-1 (Debian r-cran-metafor 3.8-1-1) with tightened iterations.
suppressMessages(library(metafor))
effect <- function(...) { e <- escalc(...); list(yi = as.numeric(e$yi), vi = as.numeric(e$vi)) }
tight <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-14)
fit <- function(yi, vi, method, test) {
  r <- suppressWarnings(rma(yi, vi, method = method, test = test, control = tight))
  list(beta = as.numeric(r$beta), se = r$se, lb = r$ci.lb, ub = r$ci.ub, p = r$pval,
       tau2 = r$tau2, se_tau2 = r$se.tau2, I2 = r$I2, H2 = r$H2, Q = r$QE, Qp = r$QEp)
}
zero <- list(a = c(0, 5, 20, 3), n1 = 20, c = c(3, 0, 19, 7), n2 = 20)
alike <- list(yi = c(0.10, 0.12, 0.08, 0.15, 0.05, 0.11), vi = c(0.04, 0.05, 0.03, 0.06, 0.04, 0.05))
pairs <- list(yi = c(0.1, 0.9), vi = c(0.05, 0.08))
three <- list(yi = c(-0.3, 0.4, 1.2), vi = c(0.02, 0.30, 0.10))
methods <- c("DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM")
fits <- function(d) sapply(methods, function(m) fit(d$yi, d$vi, m, "knha"), simplify = FALSE)
out <- list(
  versions = list(metafor = as.character(packageVersion("metafor")), R = R.version.string),
  measures = list(
    SMD1 = effect("SMD1", m1i = c(10, 12), m2i = c(9, 9), sd1i = c(2, 2), sd2i = c(2, 3),
                  n1i = c(10, 12), n2i = c(10, 14)),
    OR = with(zero, effect("OR", ai = a, n1i = rep(n1, 4), ci = c, n2i = rep(n2, 4))),
    RR = with(zero, effect("RR", ai = a, n1i = rep(n1, 4), ci = c, n2i = rep(n2, 4))),
    RD = with(zero, effect("RD", ai = a, n1i = rep(n1, 4), ci = c, n2i = rep(n2, 4))),
    AS = with(zero, effect("AS", ai = a, n1i = rep(n1, 4), ci = c, n2i = rep(n2, 4))),
    PETO = with(zero, effect("PETO", ai = a, n1i = rep(n1, 4), ci = c, n2i = rep(n2, 4), add = 0)),
    PR = effect("PR", xi = c(0, 3, 10), ni = rep(10, 3)),
    PLN = effect("PLN", xi = c(0, 3, 10), ni = rep(10, 3)),
    PLO = effect("PLO", xi = c(0, 3, 10), ni = rep(10, 3)),
    PAS = effect("PAS", xi = c(0, 3, 10), ni = rep(10, 3)),
    PFT = effect("PFT", xi = c(0, 3, 10), ni = rep(10, 3)),
    IRR = effect("IRR", x1i = c(3, 0), x2i = c(4, 5), t1i = c(100, 100), t2i = c(80, 80)),
    IRD = effect("IRD", x1i = c(3, 0), x2i = c(4, 5), t1i = c(100, 100), t2i = c(80, 80)),
    MN = effect("MN", mi = c(10, 2), sdi = c(3, 1), ni = c(8, 20)),
    MNLN = effect("MNLN", mi = c(10, 2), sdi = c(3, 1), ni = c(8, 20)),
    COR = effect("COR", ri = c(0.4, -0.7), ni = c(18, 40)),
    ZCOR = effect("ZCOR", ri = c(0.4, -0.7), ni = c(18, 40))
  ),
  data = list(alike = alike, pairs = pairs, three = three),
  fits = list(alike = fits(alike), pairs = fits(pairs), three = fits(three))
)
write(jsonlite::toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "closed_forms.json")
