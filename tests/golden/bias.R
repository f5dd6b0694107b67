# Writes bias.json and the published data behind it, in the working directory.
# Software: R 4.2.2, metafor 3.8-1 (Debian r-cran-metafor 3.8-1-1), metadat 1.2-0
# (Debian r-cran-metadat 1.2-0-2). Run: Rscript bias.R
suppressMessages({library(metadat); library(metafor)})
keep <- function(dat, columns, name)
  write.csv(as.data.frame(dat)[columns], paste0("bias_", name, ".csv"), row.names = FALSE, na = "",
            quote = FALSE)
keep(dat.hackshaw1998, c("study", "yi", "vi"), "hackshaw1998")
keep(dat.bangertdrowns2004, c("id", "ni", "yi", "vi"), "bangertdrowns2004")
keep(dat.lee2004, c("id", "ai", "n1i", "ci", "n2i"), "lee2004")
keep(dat.dorn2007, c("id", "x.a", "n.a", "x.p", "n.p"), "dorn2007")
keep(dat.egger2001, c("id", "ai", "n1i", "ci", "n2i"), "egger2001")

tight <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-14)
fit <- function(d, ...) rma(d$yi, d$vi, control = tight, ...)
reg <- function(r, ...) {
  t <- suppressWarnings(regtest(r, ...))
  list(statistic = as.numeric(t$zval), p = as.numeric(t$pval),
       limit = if (is.null(t$est)) NULL else as.numeric(t$est),
       limit_ci = if (is.null(t$est)) NULL else as.numeric(c(t$ci.lb, t$ci.ub)))
}
rank <- function(r) { t <- suppressWarnings(ranktest(r)); list(tau = as.numeric(t$tau), p = t$pval) }
fill <- function(r, ...) {
  t <- trimfill(r, control = tight, ...)
  list(k0 = t$k0, side = t$side, beta = as.numeric(t$beta), se = t$se, tau2 = t$tau2,
       lb = t$ci.lb, ub = t$ci.ub)
}
fills <- function(r) sapply(c("L0", "R0", "Q0"), function(e) fill(r, estimator = e), simplify = FALSE)
# The exact test lists subsets of studies, which takes too long for 37 of them.
excess <- function(d, exact, ...) {
  t <- function(kind, ...) tes(d$yi, d$vi, test = kind, progbar = FALSE, ...)
  a <- t("chi2", ...); b <- t("binom", ...)
  list(O = a$O, E = a$E, theta = a$theta, X2 = a$X2, p_chi2 = a$pval, p_binom = b$pval,
       p_exact = if (exact) t("exact", ...)$pval else NULL, power = as.numeric(a$power))
}
select <- function(d, ..., method = "ML", mods = NULL) {
  r <- if (is.null(mods)) rma(d$yi, d$vi, method = method, control = tight)
       else rma(d$yi, d$vi, mods = mods, method = method, control = tight)
  # Tighter tolerances than the default where the optimiser accepts them.
  s <- NULL
  for (tol in c(1e-14, 1e-12, 1e-10)) if (is.null(s))
    s <- tryCatch(selmodel(r, ..., control = list(optimizer = "nlminb", rel.tol = tol, iter.max = 1000,
                                                  eval.max = 2000)), error = function(e) NULL)
  if (is.null(s)) s <- tryCatch(selmodel(r, ...), error = function(e) NULL)
  if (is.null(s)) return(list(failed = TRUE))
  list(beta = as.numeric(s$beta), se = as.numeric(s$se), tau2 = s$tau2, delta = as.numeric(s$delta),
       loglik = as.numeric(s$fit.stats["ll", "ML"]), lrt = s$LRT, lrt_p = s$LRTp)
}
hack <- dat.hackshaw1998; bang <- dat.bangertdrowns2004; raud <- dat.raudenbush1985
bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
lee <- escalc(measure = "OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.lee2004)
dorn <- escalc(measure = "RR", ai = x.a, n1i = n.a, ci = x.p, n2i = n.p, data = dat.dorn2007)
# The default root of hc is good to about 1e-6 only.
tail <- list(tol = 1e-14, maxiter = 10000)
woods <- c(.005, .01, .05, .1, .25, .35, .5, .65, .75, .9, .95, .99, .995, 1)
weights <- list(
  moderate_one = c(1, .99, .95, .9, .8, .75, .65, .6, .55, .5, .5, .5, .5, .5),
  severe_one = c(1, .99, .9, .75, .6, .5, .4, .35, .3, .25, .1, .1, .1, .1),
  moderate_two = c(1, .99, .95, .9, .8, .75, .6, .6, .75, .8, .9, .95, .99, 1),
  severe_two = c(1, .99, .9, .75, .6, .5, .25, .25, .5, .6, .75, .9, .99, 1))
# Harbord, Peters, Macaskill and Pustejovsky-Rodgers by lm() of base R, from their formulas.
line <- function(y, x, w) { s <- summary(lm(y ~ x, weights = w))$coefficients
  list(slope = s[2, 1], se = s[2, 2], p = s[2, 4], limit = s[1, 1]) }
tables <- function(d) with(lapply(d, as.numeric), {
  N <- n1i + n2i; e <- ai + ci; Z <- ai - n1i * e / N
  V <- n1i * n2i * e * (N - e) / (N^2 * (N - 1)); y <- escalc("OR", ai, n1i = n1i, ci = ci, n2i = n2i)$yi
  list(harbord = line(Z / V, 1 / sqrt(V), V), peters = line(y, 1 / N, e * (N - e) / N),
       macaskill = line(y, N, e * (N - e) / N),
       pustejovsky_rodgers = line(y, sqrt(1 / n1i + 1 / n2i), 1 / (1 / n1i + 1 / n2i))) })
predictors <- c("sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv")
with_n <- function(model) sapply(predictors, function(p)
  reg(rma(yi, vi, ni = ni, data = bang, control = tight), model = model, predictor = p), simplify = FALSE)
out <- list(
  versions = list(metafor = as.character(packageVersion("metafor")), R = R.version.string),
  egger = list(mixed = with_n("rma"), ols = with_n("lm"),
               hackshaw_knha = reg(fit(hack, test = "knha")),
               raudenbush_weeks = reg(rma(yi, vi, mods = ~ weeks, data = raud, control = tight))),
  tables = tables(dat.egger2001),
  begg = list(hackshaw1998 = rank(fit(hack)), bangertdrowns2004 = rank(fit(bang)), bcg = rank(fit(bcg))),
  trim_fill = list(hackshaw1998_equal = fills(fit(hack, method = "EE")), raudenbush1985 = fills(fit(raud)),
                   bangertdrowns2004 = fills(fit(bang)), bcg = fills(fit(bcg)),
                   lee2004_knha_dl = fills(fit(lee, method = "DL", test = "knha"))),
  excess = list(dorn2007 = excess(dorn, TRUE), hackshaw1998 = excess(hack, FALSE),
                hackshaw_theta = excess(hack, FALSE, theta = .1, tau2 = .02)),
  selection = list(
    hackshaw_step = select(hack, type = "stepfun", steps = .025),
    hackshaw_step4 = select(hack, type = "stepfun", steps = c(.05, .1, .5)),
    hackshaw_halfnorm = select(hack, type = "halfnorm"),
    hackshaw_negexp = select(hack, type = "negexp"),
    hackshaw_beta = select(hack, type = "beta"),
    bangertdrowns_step = select(bang, type = "stepfun", steps = c(.025, .5)),
    bangertdrowns_negexp = select(bang, type = "negexp"),
    bangertdrowns_beta = select(bang, type = "beta"),
    bangertdrowns_two_sided = select(bang, type = "stepfun", steps = c(.05, .5), alternative = "two.sided"),
    bcg_less = select(bcg, type = "stepfun", steps = .025, alternative = "less"),
    bcg_latitude = select(bcg, type = "stepfun", steps = .025, alternative = "less", mods = dat.bcg$ablat),
    woods = lapply(weights, function(w) select(bang, type = "stepfun", steps = woods, delta = w))),
  henmi_copas = list(lee2004 = {h <- hc(fit(lee, method = "DL"), control = tail); list(beta = h$beta, se = h$se, lb = h$ci.lb, ub = h$ci.ub, tau2 = h$tau2)},
                     bcg = {h <- hc(fit(bcg, method = "DL"), control = tail); list(beta = h$beta, se = h$se, lb = h$ci.lb, ub = h$ci.ub, tau2 = h$tau2)}),
  fail_safe = sapply(list(bangertdrowns2004 = bang, raudenbush1985 = raud), function(d)
    list(Rosenthal = fsn(d$yi, d$vi)$fsnum, Orwin = fsn(d$yi, d$vi, type = "Orwin", target = .1)$fsnum,
         Rosenberg = fsn(d$yi, d$vi, type = "Rosenberg")$fsnum), simplify = FALSE)
)
out$trim_fill$hackshaw_right <- fill(fit(hack), side = "right")
write(jsonlite::toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "bias.json")
