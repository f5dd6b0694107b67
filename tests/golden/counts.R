# Writes counts.json: pooled counts, models on counts, cluster diagnostics and permutation tests.
# R 4.2.2, metafor 3.8-1 (Debian r-cran-metafor 3.8-1-1), metadat 1.2-0, lme4. Run: Rscript counts.R
suppressMessages({library(metafor); library(metadat)})
num <- function(x) as.numeric(x)
bcg <- dat.bcg; bcg$n1 <- bcg$tpos + bcg$tneg; bcg$n2 <- bcg$cpos + bcg$cneg
bcg <- data.frame(a = bcg$tpos, n1 = bcg$n1, c = bcg$cpos, n2 = bcg$n2)
rename <- function(d) data.frame(a = d$ai, n1 = d$n1i, c = d$ci, n2 = d$n2i)
yusuf <- rename(subset(dat.yusuf1985, table == "6")); yusuf <- yusuf[!is.na(yusuf$a), ]
n2007 <- rename(dat.nielweise2007)
n2008 <- with(dat.nielweise2008, data.frame(x1 = x1i, t1 = t1i, x2 = x2i, t2 = t2i))
# A made-up set: double zeros, one zero, nothing but events, groups of unlike size.
zeros <- data.frame(a = c(0, 0, 3, 20, 5, 0), n1 = c(20, 20, 21, 20, 30, 50),
                    c = c(0, 2, 0, 10, 9, 0), n2 = c(20, 20, 18, 10, 60, 40))
tables <- list(bcg = bcg, yusuf1985_t6 = yusuf, nielweise2007 = n2007, zeros = zeros)

# drop00 only concerns the single effects of Q: ratios leave out double zeros, differences do not.
mh <- function(d, measure) {
  r <- rma.mh(ai = d$a, n1i = d$n1, ci = d$c, n2i = d$n2, measure = measure, correct = FALSE,
              drop00 = c(measure != "RD", FALSE))
  list(beta = num(r$beta), se = r$se, p = r$pval, lb = r$ci.lb, ub = r$ci.ub, Q = r$QE, Qp = r$QEp,
       cmh = r$MH, bd = r$BD, tarone = r$TA, tarone_p = r$TAp)
}
rates <- function(d, measure) {
  r <- rma.mh(x1i = d$x1, t1i = d$t1, x2i = d$x2, t2i = d$t2, measure = measure, correct = FALSE,
              drop00 = c(measure != "IRD", FALSE))
  list(beta = num(r$beta), se = r$se, p = r$pval, Q = r$QE, Qp = r$QEp, cmh = r$MH)
}
po <- function(d) {
  r <- suppressWarnings(rma.peto(ai = d$a, n1i = d$n1, ci = d$c, n2i = d$n2))
  list(beta = num(r$beta), se = r$se, p = r$pval, Q = r$QE, Qp = r$QEp)
}

# lme4 stops at a fixed tolerance: four to six digits. nAGQ = 50 makes its integrals exact.
glmm <- function(...) {
  r <- suppressWarnings(rma.glmm(..., nAGQ = 50))
  list(beta = num(r$beta), se = r$se, tau2 = r$tau2, loglik = num(logLik(r)),
       LRT = r$QE.LRT, LRTp = r$QEp.LRT, k = r$k)
}
table_glmm <- function(d, model)
  glmm(measure = "OR", ai = d$a, n1i = d$n1, ci = d$c, n2i = d$n2, model = model)

# The conditional exact model by brute force: integrate() over the log odds ratio, optim().
exact <- function(d) {
  d <- d[d$a + d$c > 0, ]
  minus <- function(p) {
    total <- 0
    for (i in seq_len(nrow(d))) {
      m <- d$a[i] + d$c[i]
      x <- max(0, m - d$n2[i]):min(m, d$n1[i])
      w <- lchoose(d$n1[i], x) + lchoose(d$n2[i], m - x)
      own <- lchoose(d$n1[i], d$a[i]) + lchoose(d$n2[i], d$c[i])
      f <- function(u) sapply(u, function(z) {
        phi <- p[1] + p[2] * z; e <- w + phi * x; top <- max(e)
        exp(own + phi * d$a[i] - top - log(sum(exp(e - top)))) * dnorm(z)
      })
      total <- total + log(integrate(f, -9, 9, rel.tol = 1e-11, subdivisions = 2000)$value)
    }
    -total
  }
  o <- optim(c(-1, 0.7), minus, method = "BFGS", hessian = TRUE, control = list(reltol = 1e-14))
  list(beta = o$par[1], tau2 = o$par[2]^2, se = sqrt(solve(o$hessian)[1, 1]), loglik = -o$value)
}

tight <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-14)
rr <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
reg <- rma(yi, vi, mods = ~ ablat, data = rr, control = tight)
both <- function(r) {
  i <- influence(r)
  list(rstudent = num(i$inf$rstudent), dffits = num(i$inf$dffits), cook.d = num(i$inf$cook.d),
       cov.r = num(i$inf$cov.r), tau2.del = num(i$inf$tau2.del), QE.del = num(i$inf$QE.del),
       hat = num(i$inf$hat), weight = num(i$inf$weight), dfbs = sapply(rownames(r$beta), function(n) num(i$dfbs[[n]]), simplify = FALSE))
}
# One random effect per row: the usual model, fitted by the function that knows clusters.
ra <- dat.raudenbush1985
ra$cluster <- rep(1:6, length.out = nrow(ra))  # made up, to have several rows in each
clustered <- function(f) {
  m <- rma.mv(yi, vi, mods = f, random = ~ 1 | study, data = ra,
              control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-15))
  s <- rstudent(m, cluster = ra$cluster)$cluster
  list(x2 = num(s$X2), rows = num(s$k),
       cook.d = num(cooks.distance(m, cluster = ra$cluster)),
       dfbs = lapply(dfbetas(m, cluster = ra$cluster), num))
}
perm <- function(r, ...) { p <- permutest(r, progbar = FALSE, ...); list(pval = num(p$pval), QMp = num(p$QMp)) }
first <- rr[1:8, ]
six <- rr[1:6, ]
out <- list(
  origin = list(
    metafor = as.character(packageVersion("metafor")), metadat = as.character(packageVersion("metadat")),
    lme4 = as.character(packageVersion("lme4")), R = R.version.string, script = "counts.R"),
  tables = tables, rates = n2008,
  mh = lapply(tables, function(d) sapply(c("OR", "RR", "RD"), function(m) mh(d, m), simplify = FALSE)),
  mh_rates = sapply(c("IRR", "IRD"), function(m) rates(n2008, m), simplify = FALSE),
  peto = lapply(tables, po),
  glmm = list(
    bcg = list(UM.FS = table_glmm(bcg, "UM.FS"), CM.AL = table_glmm(bcg, "CM.AL")),
    nielweise2007 = list(UM.FS = table_glmm(n2007, "UM.FS"), CM.AL = table_glmm(n2007, "CM.AL")),
    nielweise2008 = sapply(c("UM.FS", "CM.EL"), function(m)
      glmm(measure = "IRR", x1i = n2008$x1, t1i = n2008$t1, x2i = n2008$x2, t2i = n2008$t2, model = m),
      simplify = FALSE),
    one_group = list(
      treated = glmm(measure = "PLO", xi = n2007$a, ni = n2007$n1),
      control = glmm(measure = "PLO", xi = n2007$c, ni = n2007$n2))),
  exact = list(nielweise2007 = exact(n2007), bcg = exact(bcg)),
  influence_ablat = both(reg),
  influence_bcg = both(rma(yi, vi, data = rr, control = tight)),
  raudenbush = list(cluster = ra$cluster, yi = num(ra$yi), vi = num(ra$vi), weeks = num(ra$weeks),
                    mean = clustered(~ 1), weeks_model = clustered(~ weeks)),
  permutation = list(
    first8 = sapply(c("z", "knha"), function(t) perm(rma(yi, vi, data = first, test = t, control = tight), exact = TRUE), simplify = FALSE),
    ablat6 = sapply(c("z", "knha"), function(t) perm(rma(yi, vi, mods = ~ ablat, data = six, test = t, control = tight), exact = TRUE), simplify = FALSE),
    random13 = perm(rma(yi, vi, mods = ~ I(alloc == "random"), data = rr, control = tight), exact = TRUE))
)
write(jsonlite::toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "counts.json")
