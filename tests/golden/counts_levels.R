# Writes counts_levels.json: unconditional models with random study levels (model="UM.RS").
# R 4.2.2, metafor 3.8-1 (Debian r-cran-metafor 3.8-1-1), metadat 1.2-0, lme4 1.1-31.
# Run: Rscript counts_levels.R
suppressMessages({library(metafor); library(metadat)})
num <- function(x) as.numeric(x)
rename <- function(d) {
  d <- data.frame(a = d$ai, n1 = d$n1i, c = d$ci, n2 = d$n2i)
  as.list(d[complete.cases(d), ])
}
rates <- function(d) list(x1 = d$x1i, t1 = d$t1i, x2 = d$x2i, t2 = d$t2i)
tables <- list(
  nielweise2007 = rename(dat.nielweise2007),
  bcg = with(dat.bcg, list(a = tpos, n1 = tpos + tneg, c = cpos, n2 = cpos + cneg)),
  hine1989 = rename(dat.hine1989), li2007 = rename(dat.li2007),
  collins1985a = with(dat.collins1985a[!is.na(dat.collins1985a$b.xti), ],
                      list(a = b.xti, n1 = nti, c = b.xci, n2 = nci)),
  damico2009 = with(dat.damico2009, list(a = xt, n1 = nt, c = xc, n2 = nc)),
  hahn2001 = rename(dat.hahn2001), linde2005 = rename(dat.linde2005),
  graves2010 = rename(dat.graves2010), egger2001 = rename(dat.egger2001),
  nielweise2008 = rates(dat.nielweise2008), hart1999 = rates(dat.hart1999))

# lme4 has Laplace's approximation only where there are two random effects, and stops when its steps
# are small on an absolute scale.
fit <- function(d, ...) {
  names(d) <- c(a = "ai", n1 = "n1i", c = "ci", n2 = "n2i",
                x1 = "x1i", t1 = "t1i", x2 = "x2i", t2 = "t2i")[names(d)]
  measure <- if (is.null(d$t1i)) "OR" else "IRR"
  suppressWarnings(do.call(rma.glmm, c(d, list(measure = measure, model = "UM.RS"), list(...))))
}
random <- function(d) {
  r <- fit(d)
  list(beta = num(r$beta), se = r$se, tau2 = r$tau2, sigma2 = r$sigma2, loglik = num(logLik(r)), k = r$k)
}
# Without random effects of the group there is one random effect, and 50 points are exact.
common <- function(d) {
  r <- fit(d, method = "EE", nAGQ = 50)
  list(beta = num(r$beta), se = r$se, sigma2 = r$sigma2, LRT = r$QE.LRT)
}
out <- list(
  origin = list(
    metafor = as.character(packageVersion("metafor")), metadat = as.character(packageVersion("metadat")),
    lme4 = as.character(packageVersion("lme4")), R = R.version.string, script = "counts_levels.R"),
  tables = tables, random = lapply(tables, random), common = lapply(tables, common))
write(jsonlite::toJSON(out, digits = NA, auto_unbox = TRUE), "counts_levels.json")
